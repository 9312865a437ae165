"""What a check-up finds, of a guest or of the operator's side: one line, and what to do about it (pure)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How one check ended."""

    GOOD = "ok"
    NOTE = "note"
    """Worth knowing; nothing has to be done unless something that needs it is wanted."""
    BAD = "bad"
    """Something must be done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one check found.

    Attributes:
        check: What was looked at.
        verdict: How it ended.
        message: What was found.
        advice: What to do; empty where nothing has to be done.
    """

    check: str
    verdict: Verdict
    message: str
    advice: str = ""
