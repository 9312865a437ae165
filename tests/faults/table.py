"""The page docs/faults.md: which faults are injected, what becomes of them, and how soon, as the tests measured it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.faults.matrix import ROWS, Row, find_tests, number_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
HEAD = """<!-- Written by `make faults` from tests/faults; change the tests, not this page. -->

# Faults

What really happens to mounts, and what weft does about it. Each row is a test that injects the fault: real brokers,
real rclone clients and servers, and a stand-in for CubeFS that makes real FUSE mounts and behaves as its client
does. `make faults` runs them all (as root) and writes this page.

*Noticed* and *mended* are the times from the fault until the agent had noticed it, and until all was as it should
be; a dash where there is nothing to notice or to mend. They hold for a busy machine with two cores, where each
mount is asked every second whether it answers (guests: every ten, `probe_interval_s`), and include what the tests
themselves take to look.

| | What happens | What weft does | Noticed | Mended | Test |
| --- | --- | --- | --- | --- | --- |
"""

Measured = Mapping[str, Mapping[str, float | None]]


def build_page(measured: Measured) -> str:
    """Build the page from what the tests measured."""
    tests = {number_of(name): name for name in find_tests()}
    return HEAD + "".join(_line(row, tests[row.number], measured[tests[row.number]]) for row in ROWS)


def _line(row: Row, test: str, times: Mapping[str, float | None]) -> str:
    answer = f"{row.answer} ({row.note})" if row.note else row.answer
    noticed, mended = _seconds(times["detected_s"]), _seconds(times["repaired_s"])
    return f"| F{row.number} | {row.fault} | {answer} | {noticed} | {mended} | `{test}` |\n"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{max(value, 0.001) * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def main(arguments: list[str]) -> None:
    """Write the page from the file of measured times that is named."""
    PAGE.write_text(build_page(json.loads(Path(arguments[0]).read_text())))


if __name__ == "__main__":
    main(sys.argv[1:])
