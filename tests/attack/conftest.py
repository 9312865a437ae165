"""Counts the probes of the hostile-input suite by kind, and prints them at the end."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

COUNTS_VARIABLE = "WEFT_ATTACK_COUNTS"
"""Names the file that takes the counts as JSON; SECURITY.md is written from it."""

_PROBES: pytest.StashKey[Counter[str]] = pytest.StashKey()

CountProbes = Callable[..., None]


@pytest.fixture
def count_probes(request: pytest.FixtureRequest) -> CountProbes:
    """
    Return ``count_probes(kind, number=1)``: call it after the probe was made and judged.

    *kind* says in a few words what was tried, such as ``share specs refused``.
    """
    counts = request.config.stash.setdefault(_PROBES, Counter())

    def count(kind: str, number: int = 1) -> None:
        counts[kind] += number

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many probes of each kind were made."""
    counts = config.stash.get(_PROBES, Counter())
    if not counts:
        return
    terminalreporter.section("probes")
    for kind, number in sorted(counts.items()):
        terminalreporter.write_line(f"{number:>8}  {kind}")
    if path := os.environ.get(COUNTS_VARIABLE):
        Path(path).write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n")
