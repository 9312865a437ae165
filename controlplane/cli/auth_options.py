"""Options that ``weft auth`` and ``weft enroll`` share: where the keys are, how long a user lives."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controlplane.cli.options import Duration

F = TypeVar("F", bound=Callable[..., Any])


def default_auth_directory() -> Path:
    """Say where keys are unless told otherwise."""
    config = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(config).expanduser() / "weft" / "auth"


def auth_directory_option(function: F) -> F:
    """Add ``--dir``."""

    def parsed(ctx: click.Context, param: click.Parameter, value: str | None) -> Path:
        return Path(value).expanduser().absolute() if value else default_auth_directory()

    return click.option(
        "--dir", "directory", metavar="DIR", callback=parsed, help="Where the keys are [~/.config/weft/auth]."
    )(function)


def lifetime_option(function: F) -> F:
    """Add ``--expires``."""
    return click.option(
        "--expires",
        "lifetime_s",
        type=Duration(),
        metavar="TIME",
        help="How long they are good for, as 90d [for ever].",
    )(function)
