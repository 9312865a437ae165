"""A message as a stream holds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a stream holds it; *stored_at_s* is the broker's clock, as a Unix time."""

    subject: str
    seq: int
    data: bytes
    stored_at_s: float
