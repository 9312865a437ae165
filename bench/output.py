"""What a run prints and keeps: a table for people, JSON for comparing runs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.frame import Bound, Figure, Row

VERDICTS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


def build_table(row: Row, figures: Sequence[Figure]) -> Table:
    """Build the table of one row."""
    table = Table(title=row.title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    table.add_column("figure", ratio=1, overflow="fold")
    for heading in ("median", "min", "max", "target"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for figure in figures:
        name = f"{figure.name}\n[dim]{figure.note}[/]" if figure.note else figure.name
        numbers = (shown(figure.median, figure.unit), shown(figure.low), shown(figure.high))
        table.add_row(name, *numbers, target_text(figure), VERDICTS[figure.is_met])
    return table


def print_row(row: Row, figures: Sequence[Figure], *, console: Console) -> None:
    """Print one row as soon as it is known."""
    console.print(build_table(row, figures))
    console.print()


def shown(value: float, unit: str = "") -> str:
    """Write a number with three significant digits, thousands separated."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}{f' {unit}' if unit else ''}"


def target_text(figure: Figure) -> str:
    """Write what was promised."""
    if figure.target is None:
        return ""
    sign = "≤" if figure.target.bound is Bound.BELOW else "≥"
    return f"{sign} {shown(figure.target.value, figure.unit)}"


def build_document(results: Mapping[str, Sequence[Figure]], *, effort: str) -> dict[str, Any]:
    """Build what is kept of a run."""
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "effort": effort,
        "machine": {
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_1min": os.getloadavg()[0],
        },
        "rows": {name: [_plain(figure) for figure in figures] for name, figures in results.items()},
    }


def _plain(figure: Figure) -> dict[str, Any]:
    target = figure.target
    return {
        "name": figure.name,
        "unit": figure.unit,
        "median": figure.median,
        "min": figure.low,
        "max": figure.high,
        "samples": list(figure.samples),
        "target": None if target is None else {"bound": target.bound.value, "value": target.value},
        "is_met": figure.is_met,
        "note": figure.note,
    }


def write_document(document: Mapping[str, Any], path: Path) -> None:
    """Keep a run at *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
