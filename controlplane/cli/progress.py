"""How far a long operation is: a bar on a terminal, a few plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.cli.session import is_quiet
from controlplane.cli.terminal import open_console
from controlplane.results import OnProgress, Progress
from weft.terminal import tell

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
            tell(line)

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
        return [f"{progress.phase}: {progress.done}/{progress.total}{_details(progress, ', ')}"]


def _details(progress: Progress, gap: str) -> str:
    """Say who is neither done nor at ease, after *gap*; empty while there is nothing to say."""
    waiting = progress.total - progress.done - progress.failed if progress.phase == "wait" else 0
    counts = ((progress.failed, "failed"), (waiting, "waiting"))
    text = ", ".join(f"{number} {word}" for number, word in counts if number)
    return f"{gap}{text}" if text else ""


@contextmanager
def _bar() -> Iterator[OnProgress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=open_console(is_err=True), transient=True) as bar:
        tasks = {}

        def show(progress: Progress) -> None:
            if progress.phase not in tasks:
                tasks[progress.phase] = bar.add_task(progress.phase, total=progress.total)
            bar.update(
                tasks[progress.phase],
                completed=progress.done,
                total=progress.total,
                description=f"{progress.phase}{_details(progress, ' ')}",
            )

        yield show
