"""``weft events``: what operators did, and what changed in guests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import Duration, output_option
from controlplane.cli.session import say, with_plane

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

HOUR_S = 3600.0


@weft_command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--vm", metavar="VM", help="Only what happened in this guest.")
@click.option("--share", "share_id", metavar="ID", help="Only what is about this share.")
@click.option("--since", "since_s", type=Duration(), metavar="TIME", help="How far back, as 10m or 7d [1h].")
@output_option("table", "json")
def command(follow: bool, vm: str | None, share_id: str | None, since_s: float | None, output: str) -> None:
    """
    Show who published what, and every change of a share in a guest.

    In the order they were stored; ``-o json`` prints one object per line. How long they are kept is
    chosen with ``weft init --events-age``.

    An operator's name is the one in the credentials, which the broker checked. Where it checks none,
    the name is what the writer says, and ends with a question mark.

    \b
    Examples:
      weft events
      weft events -f --share docs
      weft events --vm vm-7 --since 7d -o json
    """
    from controlplane.cli.events_view import entry_line, entry_record, title_line

    back_s = HOUR_S if since_s is None else since_s
    shown = 0

    async def work(plane: ControlPlane) -> None:
        nonlocal shown
        async for entry in plane.events(vm=vm, share_id=share_id, since_s=back_s, follow=follow):
            if not shown and output == "table":
                click.echo(title_line())
            shown += 1
            text = json.dumps(entry_record(entry), ensure_ascii=False) if output == "json" else entry_line(entry)
            click.echo(text)  # flushed at once, so that a pipe sees it too

    with_plane(work)
    if not shown:
        hint = "" if since_s is not None else "\n  try: weft events --since 7d"
        say(f"nothing happened in the last {_length(back_s)}{hint}")


def _length(seconds: float) -> str:
    if seconds == HOUR_S:
        return "hour"
    for unit, size_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:g} {unit}"
    return f"{seconds:g} seconds"
