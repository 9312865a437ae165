"""The pages of the documentation, and the tables in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_CODE = re.compile(r"`([^`]+)`")


def every_page() -> list[Path]:
    """List all Markdown pages of the project."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def table_rows(page: Path) -> Iterator[list[str]]:
    """Yield the cells of every table row of *page*, without heads and rules."""
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and lines[number + 1].startswith("| ---")
        if line.startswith("|") and not line.startswith("| ---") and not is_head:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def code_of(cell: str) -> str:
    """Return the first code in *cell*, empty for none."""
    found = _CODE.search(cell)
    return found[1] if found else ""


def code_blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of *page* in *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
