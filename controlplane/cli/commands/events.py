"""``weft events``: what operators did, and what changed in guests."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from controlplane.cli.asking import ask
from controlplane.cli.command import group
from controlplane.cli.exits import FAILED, leave
from controlplane.cli.options import Duration, each_vm, output_option, yes_option
from controlplane.cli.output import counted
from controlplane.cli.session import say, with_plane
from weft.terminal import show, show_json, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

HOUR_S = 3600.0


@group("events", is_command=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option("--vm", metavar="VM", help="Only what happened in this guest.")
@click.option("--share", "share_id", metavar="ID", help="Only what is about this share.")
@click.option("--since", "since_s", type=Duration(), metavar="TIME", help="How far back, as 10m or 7d [1h].")
@output_option("table", "json")
@click.pass_context
def command(
    ctx: click.Context, follow: bool, vm: str | None, share_id: str | None, since_s: float | None, output: str
) -> None:
    """
    Show who published what, and every change of a share in a guest.

    In the order they were stored; ``-o json`` prints one object per line. How long they are kept is
    chosen with ``weft init --events-age``; of each kind the last of a VM, as far as there is room.

    An operator's name is the one in the credentials, which the broker checked. Where it checks none,
    the name is what the writer says, and ends with a question mark.

    \b
    Examples:
      weft events
      weft events -f --share docs
      weft events --vm vm-7 --since 7d -o json
    """
    if ctx.invoked_subcommand is not None:
        return
    from controlplane.cli.events_view import entry_line, entry_record, title_line

    back_s = HOUR_S if since_s is None else since_s
    shown = 0

    async def work(plane: ControlPlane) -> None:
        nonlocal shown
        async for entry in plane.events(vm=vm, share_id=share_id, since_s=back_s, follow=follow):
            if not shown and output == "table":
                show(title_line())
            shown += 1
            if output == "json":
                show_json(json.dumps(entry_record(entry), ensure_ascii=False))
            else:
                show(entry_line(entry))

    with_plane(work)
    if not shown:
        say(
            f"nothing happened in the last {_length(back_s)}",
            *(() if since_s is not None else ("  try: weft events --since 7d",)),
        )


@command.command("purge")
@click.option("--vm", "vms", multiple=True, metavar="VM", callback=each_vm, help="Only what this VM sent; repeatable.")
@click.option("--older-than", "older_than_s", type=Duration(), metavar="TIME", help="Only what is older, as 7d.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@yes_option
@output_option("table", "json")
def purge(vms: tuple[str, ...], older_than_s: float | None, dry_run: bool, assume_yes: bool, output: str) -> None:
    """
    Remove events that guests sent, for good.

    What operators did stays. The VM that sent most is named by weft doctor.

    \b
    Examples:
      weft events purge --vm vm-7
      weft events purge --older-than 7d --dry-run
    """

    async def work(plane: ControlPlane) -> int:
        count = await plane.count_events(vms, older_than_s=older_than_s)
        if dry_run or not count:
            return count
        if not assume_yes:
            if not sys.stdin.isatty():
                tell("weft: cannot remove events unasked", "  try: the same with --yes")
                leave(FAILED)
            ask(f"Remove {counted(count, 'event')} for good?")
        return await plane.purge_events(vms, older_than_s=older_than_s)

    count = with_plane(work)
    if output == "json":
        show_json(json.dumps({"events": count, "is_removed": bool(count) and not dry_run}))
    say(f"{'would remove' if dry_run else 'removed'} {counted(count, 'event')}")


def _length(seconds: float) -> str:
    if seconds == HOUR_S:
        return "hour"
    for unit, size_s in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:g} {unit}"
    return f"{seconds:g} seconds"
