"""What only the operator's command line does on a terminal: questions and moving pictures, as printable as the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from weft.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def confirm(question: str) -> bool:
    """Ask on standard error, and wait for the answer."""
    return click.confirm(printable(question), err=True)


def open_console(*, is_err: bool = False, **options: Any) -> Console:
    """Open the terminal for moving pictures; what is shown on it is made by :func:`picture_text`."""
    from rich.console import Console

    return Console(stderr=is_err, highlight=False, markup=False, **options)


def picture_text(text: str, **options: Any) -> Text:
    """Build a text for a moving picture: without escapes, and without rich's own markup, which could name links."""
    from rich.text import Text

    return Text(printable(text, keep="\n"), **options)
