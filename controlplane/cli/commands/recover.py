"""``weft recover``: the catalog, rebuilt from what the stream holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from controlplane.cli.asking import ask
from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import FAILED, leave
from controlplane.cli.options import yes_option
from controlplane.cli.output import counted
from controlplane.cli.session import say, with_plane
from weft.terminal import show, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.recovery import Recovery


@weft_command("recover")
@click.option("--dry-run", is_flag=True, help="Only show what would come back.")
@yes_option
def command(dry_run: bool, assume_yes: bool) -> None:
    """
    Rebuild a lost catalog from the stream.

    For a catalog that is empty, another one, or an older state. Each share comes back for
    the VMs that have it; classes, owners and remotes only as far as the catalog still has
    them. No VM's list changes. Where there is an exported file, weft import brings back more.

    \b
    Examples:
      weft recover --dry-run
      weft recover
    """

    async def work(plane: ControlPlane) -> Recovery:
        plan = await plane.plan_recovery()
        for line in plan.lines:
            show(line)
        for warning in plan.warnings:
            tell(f"warning: {warning}")
        if dry_run:
            return plan
        if not assume_yes:
            if not sys.stdin.isatty():
                tell("weft: cannot put a recovered catalog in place unasked", "  try: weft recover --yes")
                leave(FAILED)
            ask("Put this catalog in place?")
        return await plane.recover()

    plan = with_plane(work)
    what = "would recover" if dry_run else "recovered"
    say(f"{what} {counted(len(plan.lines), 'share')}", *(() if dry_run else ("  try: weft diff",)))
