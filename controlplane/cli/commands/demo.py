"""``weft demo``: the whole story on this machine, told step by step."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import INTERRUPTED, leave
from controlplane.cli.interrupt import until_interrupted
from controlplane.cli.options import output_option
from controlplane.cli.output import counted, format_json
from controlplane.cli.session import run_async, say
from controlplane.cli.terminal import open_console, picture_text
from weft.errors import ConfigError
from weft.terminal import show_block, show_json, tell

if TYPE_CHECKING:
    from rich.status import Status

    from controlplane.demo.play import Told

GOOD, BAD = "✓", "✗"


@weft_command("demo")
@output_option("table", "json")
def command(output: str) -> None:
    """
    Show on this machine what weft does, in under a minute.

    A broker, an S3 server and three guests mount real shares, lose a client and an
    agent, and recover. Every step is verified; at the end nothing of it is left.
    It needs root, FUSE and rclone, and exits 0 only if everything came true.

    \b
    Examples:
      weft demo
      weft demo -o json
    """
    from controlplane.demo.needs import find_lacks
    from controlplane.demo.play import play

    if lacks := find_lacks():
        raise ConfigError(lacks)
    teller = _JsonTeller() if output == "json" else _TerminalTeller() if sys.stdout.isatty() else PlainTeller()
    try:
        was_interrupted = run_async(until_interrupted(play(teller)))
    finally:
        teller.close()
    if was_interrupted:
        say("interrupted; nothing is left behind")
        leave(INTERRUPTED)


class PlainTeller:
    """Prints one line per step."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._steps = 0

    def begins(self, title: str) -> None:
        """Say nothing yet."""

    def saw(self, told: Told) -> None:
        """Print the line of a step, and its table."""
        self._steps += told.is_true
        self.line(line_of(told), is_good=told.is_true)
        if told.seen.table:
            self.line("\n" + "\n".join(f"    {line}".rstrip() for line in told.seen.table.splitlines()) + "\n")

    def warned(self, lines: list[str]) -> None:
        """Show what the agents said last."""
        for line in lines:
            tell(f"  {line}")

    def line(self, text: str, *, is_good: bool = True) -> None:
        """Print *text*, in whatever characters the output takes."""
        show_block(text)

    def close(self) -> None:
        """Sum up."""
        self.line(f"{counted(self._steps, 'step')} came true in {time.monotonic() - self._started_s:.1f} s")


class _TerminalTeller(PlainTeller):
    """Shows in colour, unless NO_COLOR is set, and the step that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self._console = open_console(soft_wrap=True)
        self._status: Status = self._console.status("")

    def begins(self, title: str) -> None:
        self._status.update(picture_text(title))
        self._status.start()

    def line(self, text: str, *, is_good: bool = True) -> None:
        self._status.stop()
        shown = picture_text(text, style="" if is_good else "bold red")
        shown.highlight_words([GOOD], "green")
        self._console.print(shown)

    def close(self) -> None:
        self._status.stop()
        super().close()


class _JsonTeller(PlainTeller):
    """Prints one document at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._records: list[dict[str, Any]] = []

    def saw(self, told: Told) -> None:
        self._records.append(
            {"title": told.title, "ok": told.is_true, "took_s": round(told.took_s, 3), "detail": told.seen.detail}
        )

    def close(self) -> None:
        show_json(format_json(self._records))


def line_of(told: Told) -> str:
    """Build the line of one step: mark, seconds, title, what was seen."""
    detail = f" ({told.seen.detail})" if told.seen.detail and told.is_true else f": {told.seen.detail}"
    return f"{GOOD if told.is_true else BAD} {told.took_s:5.2f} s  {told.title}{detail if told.seen.detail else ''}"
