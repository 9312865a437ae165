"""``weft update``: change single fields of a share, and fan it out."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import assign_options, fan_out_options, label_option
from controlplane.cli.shares_wanted import read_assignments


@weft_command("update")
@click.argument("share_id", metavar="ID")
@assign_options
@click.option("--owner", metavar="NAME", help="Who it belongs to; '' for nobody.")
@click.option("--tenant", metavar="NAME", help="Group of owners; '' for none.")
@click.option("--description", metavar="TEXT", help="What it is for; '' for nothing.")
@label_option
@click.option("--dry-run", is_flag=True, help="Say what would change in which VM, change nothing.")
@fan_out_options
def command(share_id: str, **options: Any) -> None:
    """
    Change single fields of a share.

    All else stays as it is. If somebody else changes the share at the same time, one of
    you wins and the other is told.

    \b
    Examples:
      weft update docs --secret rclone.config.secret_access_key=@new-key --wait
      weft update docs --set readonly=true --set cache.ttl_s=60
      weft update docs --owner ada --label term=2026 --label draft=
    """
    fields = {field.name: value for field, value in read_assignments(options["sets"], options["secrets"])}
    notes = {key: options[key] for key in ("owner", "tenant", "description")}
    labels = options["labels"] or None
    if not fields and labels is None and all(value is None for value in notes.values()):
        raise click.UsageError("nothing to change: give --set, --secret or a note", ctx=click.get_current_context())
    dry_run = options["dry_run"]
    run_fan_out(
        lambda plane, yes, on_progress: plane.update(
            share_id, fields, **notes, labels=labels, dry_run=dry_run, assume_yes=yes, on_progress=on_progress
        ),
        Manner(
            f"{'would update' if dry_run else 'updated'} {share_id}",
            options["output"],
            options["wait"],
            options["timeout_s"],
            options["assume_yes"],
            dry_run,
        ),
    )
