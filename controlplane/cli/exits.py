"""The exit codes of ``weft``."""

from __future__ import annotations

from typing import NoReturn

import click

FAILED = 1
USAGE = 2
NOT_CONVERGED = 3
INTERRUPTED = 130


def leave(code: int) -> NoReturn:
    """End the command with *code*; what there was to say has been said."""
    raise click.exceptions.Exit(code)
