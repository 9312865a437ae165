"""A listing as a command prints it, and what it says where there is nothing to list."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.cli.output import Column, Row, format_listing
from controlplane.cli.session import say
from weft.terminal import show, show_block, show_json


def print_listing(columns: Sequence[Column], rows: Sequence[Row], output: str, *, if_none: Sequence[str]) -> None:
    """
    Print *rows*; where there are none, programs get an empty listing, and people are told *if_none* instead.

    Args:
        columns: Their columns.
        rows: What is listed.
        output: As :func:`controlplane.cli.output.format_listing` takes it.
        if_none: Why there may be none; on a second line what to try.
    """
    if not rows and output in ("table", "wide"):
        say(*if_none)
    else:
        show_listing(columns, rows, output)


def show_listing(columns: Sequence[Column], rows: Sequence[Row], output: str) -> None:
    """Print *rows* as *output* asks for."""
    match output:
        case "json":
            show_json(format_listing(columns, rows, output))
        case "name":
            show(*(row.name for row in rows))
        case _:
            show_block(format_listing(columns, rows, output))
