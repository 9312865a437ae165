"""Where a secret goes: into files that only their owner can read, or into a pipe; never onto a screen."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from controlplane.cli.session import say
from weft.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

OTHERS = 0o077
FILE_SUFFIXES = frozenset({".creds", ".json", ".yaml", ".yml", ".sh"})
"""What a name ends with that means a file; any other is a directory, with a file for each."""


def out_option(function: F) -> F:
    """Add ``--out`` and ``--force``."""
    force = click.option("--force", is_flag=True, help="Replace files that are there.")(function)
    return click.option("--out", metavar="PATH", help="Write FILE.creds, or into DIR a file for each; mode 0600.")(
        force
    )


def plan_files(names: Iterable[str], out: str, suffix: str, *, force: bool) -> dict[str, Path]:
    """
    Say which file the secret of each of *names* goes to, before there is any secret.

    Args:
        names: Whom they are for.
        out: A file, where its name ends like one, else a directory.
        suffix: Of a file in a directory, with its dot.
        force: Whether a file that is there is replaced.

    Raises:
        UsageError: Several would go into one file.
        ConfigError: A file is there.
    """
    names, path = list(names), Path(out)
    if path.suffix in FILE_SUFFIXES and not path.is_dir():
        if len(names) > 1:
            raise click.UsageError(f"cannot write several into one file {out!r}: name a directory")
        files = {names[0]: path}
    else:
        files = {name: path / f"{name}{suffix}" for name in names}
    there = [str(file) for file in files.values() if file.exists()]
    if there and not force:
        raise ConfigError([f"cannot write {file}: it is there (add --force to replace it)" for file in there])
    return files


def write_files(files: Mapping[str, Path], texts: Mapping[str, str]) -> None:
    """
    Write each secret into its file, mode 0600 from the first moment, whole or not at all.

    Raises:
        ConfigError: One cannot be written.
    """
    from controlplane.auth.files import ensure_private_directory, replace_file

    for name, path in files.items():
        ensure_private_directory(path.parent)
        replace_file(path, texts[name], mode=0o600)
        say(f"wrote {path}")


def refuse_open_stdout(what: str, file: str) -> None:
    """
    Refuse to print *what* where others may read it: on a terminal, which keeps it, or into a file that is open to them.

    A pipe is the reader's own business.

    Args:
        what: What would be printed.
        file: How a file for it is called.

    Raises:
        UsageError: Saying what to do.
    """
    try:
        number = sys.stdout.fileno()
        mode = os.fstat(number).st_mode
    except (OSError, ValueError):
        return  # no file: a program that calls this one keeps what is printed to itself
    if os.isatty(number):
        raise click.UsageError(f"cannot print {what} on a terminal, which keeps what it shows: add --out {file}")
    if stat.S_ISREG(mode) and mode & OTHERS:
        raise click.UsageError(
            f"cannot print {what} into a file that others may read (mode {stat.S_IMODE(mode):04o}):"
            f" add --out {file}, which makes its file 0600"
        )
