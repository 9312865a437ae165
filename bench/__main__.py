"""``python -m bench [ROW…]``: measure, print a table for each row, keep everything as JSON."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog
import uvloop
from rich.console import Console

from bench.frame import Effort, Figure, Loop, Row
from bench.output import build_document, print_row, write_document
from bench.registry import ROWS

RESULTS = Path(__file__).parent / "results"
DEADLINE_S = 300.0
"""For one row; each takes well under a minute on two idle cores."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the rows that *argv* names, by default all; 0 unless a row could not be measured."""
    arguments = _parse(argv)
    effort = Effort.QUICK if arguments.quick else Effort.FULL
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    console = Console(width=None if sys.stdout.isatty() else 120)
    results: dict[str, list[Figure]] = {}
    failed: list[str] = []
    for row in ROWS:
        if arguments.rows and row.name not in arguments.rows:
            continue
        try:
            results[row.name] = _measure(row, effort)
        except Exception:  # noqa: BLE001  # one row that cannot be measured here must not cost the others
            console.print_exception(max_frames=6)
            failed.append(row.name)
        else:
            print_row(row, results[row.name], console=console)
    path = arguments.json or RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    write_document(build_document(results, effort=effort.name.lower()), path)
    console.print(_summary(results, failed), f"(details in {path})", soft_wrap=True)
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure: {', '.join(names)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the figures")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    arguments = parser.parse_args(argv)
    if unknown := sorted(set(arguments.rows) - set(names)):
        parser.error(f"unknown row {unknown[0]!r}; there are {', '.join(names)}")
    return arguments


def _measure(row: Row, effort: Effort) -> list[Figure]:
    async def bounded() -> list[Figure]:
        async with asyncio.timeout(DEADLINE_S):
            return await row.measure(effort)

    factory = uvloop.new_event_loop if row.loop is Loop.UVLOOP else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(bounded())


def _summary(results: dict[str, list[Figure]], failed: Sequence[str]) -> str:
    figures = [figure for row in results.values() for figure in row if figure.target is not None]
    met = sum(1 for figure in figures if figure.is_met)
    text = f"{met} of {len(figures)} targets met"
    return text + (f"; could not measure {', '.join(failed)}" if failed else "")


if __name__ == "__main__":
    sys.exit(main())
