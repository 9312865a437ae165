"""Writes into SECURITY.md how much the hostile-input suite tried: ``python -m tests.attack.table COUNTS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from weft.errors import ConfigError

PAGE = Path(__file__).resolve().parents[2] / "SECURITY.md"
BEGIN, END = "<!-- probes: written by make attack -->", "<!-- end of probes -->"


def build_table(counts: dict[str, int]) -> str:
    """Return the counts as a table, the kinds in alphabetical order."""
    rows = [f"| {kind} | {number:,} |" for kind, number in sorted(counts.items())]
    return "\n".join(["| tried and judged | number |", "| --- | ---: |", *rows])


def put_table(page: str, table: str) -> str:
    """
    Return *page* with *table* between its markers.

    Raises:
        ConfigError: the page has no such place.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ConfigError([f"cannot find {BEGIN} and {END} in {PAGE.name}"])
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(put_table(PAGE.read_text(), build_table(json.loads(Path(sys.argv[1]).read_text()))))
