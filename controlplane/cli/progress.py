"""How far a long operation is: a bar on a terminal, a few plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from controlplane.cli.session import is_quiet
from controlplane.results import OnProgress, Progress

STEPS = 4
"""Plain lines per phase: a log wants a sign of life, not a movie."""
FEW = 20
"""Fewer VMs than this need no lines."""


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Show the progress of what happens inside; yields what to report it to."""
    if is_quiet():
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bar() as on_progress:
            yield on_progress
    else:
        yield PlainLines().show


class PlainLines:
    """Turns progress into lines: one each time another quarter is done."""

    def __init__(self) -> None:
        self._phase = ""
        self._step = 0

    def show(self, progress: Progress) -> None:
        """Print what *progress* is worth."""
        for line in self.lines_for(progress):
            click.echo(line, err=True)

    def lines_for(self, progress: Progress) -> list[str]:
        """Return the lines that *progress* is worth: one or none."""
        if progress.phase != self._phase:
            self._phase, self._step = progress.phase, 0
        if progress.total < FEW:
            return []
        step = progress.done * STEPS // progress.total
        if step <= self._step:
            return []
        self._step = step
        failed = f", {progress.failed} failed" if progress.failed else ""
        return [f"{progress.phase}: {progress.done}/{progress.total}{failed}"]


@contextmanager
def _bar() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {}

        def show(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.total)
            failed = f" ({progress.failed} failed)" if progress.failed else ""
            bar.update(
                tasks[progress.phase],
                completed=progress.done,
                total=progress.total,
                description=f"{progress.phase}{failed}",
            )

        yield show
