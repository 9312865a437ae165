"""``weft rollback``: an earlier edition of a share again."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options


@weft_command("rollback")
@click.argument("share_id", metavar="ID")
@click.option("--to", "edition", type=int, metavar="EDITION", help="Which one [the last that differs].")
@click.option("--dry-run", is_flag=True, help="Say what would change in which VM, change nothing.")
@fan_out_options
def command(share_id: str, edition: int | None, dry_run: bool, **how: Any) -> None:
    """
    Bring an earlier edition of a share back, with its targets.

    Also of a share that was ended. weft history lists the editions.

    \b
    Examples:
      weft rollback docs --wait
      weft rollback docs --to 1041
    """
    what = f"{'would roll back' if dry_run else 'rolled back'} {share_id}"
    run_fan_out(
        lambda plane, yes, on_progress: plane.rollback(
            share_id, to=edition, dry_run=dry_run, assume_yes=yes, on_progress=on_progress
        ),
        Manner(what, dry_run=dry_run, **how),
    )
