"""Listings as text: aligned columns, JSON, or bare names. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GAP = "   "
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and whether only ``-o wide`` shows it."""

    title: str
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of a listing.

    Attributes:
        name: What ``-o name`` prints.
        cells: A text per column.
        record: What ``-o json`` prints.
    """

    name: str
    cells: tuple[str, ...]
    record: Mapping[str, Any]


def format_listing(columns: Sequence[Column], rows: Sequence[Row], output: str) -> str:
    """
    Format *rows* the way *output* asks for: ``table``, ``wide``, ``json`` or ``name``.

    Returns:
        The text without a final line break; empty for a ``name`` listing of nothing.
    """
    match output:
        case "json":
            return format_json([row.record for row in rows])
        case "name":
            return "\n".join(row.name for row in rows)
        case _:
            shown = [n for n, column in enumerate(columns) if output == "wide" or not column.is_wide]
            return format_table([columns[n].title for n in shown], [[row.cells[n] for n in shown] for row in rows])


def format_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align *rows* under *titles*; an empty cell shows as ``-``, a line never ends in blanks."""
    lines = [list(titles), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(titles))]
    return "\n".join(
        GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(text: str) -> str:
    return " ".join(text.split()) or NOTHING


def format_json(value: Any) -> str:
    """Format *value* as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def format_fields(values: Mapping[str, Any]) -> str:
    """Format nested *values* as one ``dotted.name  value`` line each, names aligned."""
    flat = [(_cell(name), text) for name, text in _flat(values, "")]
    width = max((len(name) for name, _ in flat), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{_cell(text)}" for name, text in flat)


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            result.extend(_flat(value, f"{prefix}{key}."))
        else:
            result.append((f"{prefix}{key}", format_value(value)))
    return result


def format_value(value: Any) -> str:
    """Format one value for people."""
    match value:
        case None | "":
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(format_value(item) for item in value) or NOTHING
        case Mapping():
            return ", ".join(f"{key}={format_value(item)}" for key, item in value.items()) or NOTHING
        case _:
            return str(value)


def format_age(seconds: float | None) -> str:
    """Format an age in its largest unit: ``5s``, ``3m``, ``2h``, ``4d``."""
    if seconds is None:
        return NOTHING
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Order names as people do: ``vm-2`` before ``vm-10``."""
    return tuple((text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name))


def counted(number: int, noun: str) -> str:
    """Say how many: ``1 VM``, ``3 VMs``."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
