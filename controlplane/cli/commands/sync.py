"""``weft sync``: recompute what every VM should have, and repair what differs."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, wait_options, yes_option


@weft_command("sync")
@click.option("--vm", "vms", multiple=True, metavar="VM", help="Only this VM; repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what differs, change nothing.")
@wait_options
@yes_option
@output_option("table", "json")
def command(vms: tuple[str, ...], dry_run: bool, wait: bool, timeout_s: float, assume_yes: bool, output: str) -> None:
    """
    Repair what differs from the catalog.

    Every VM's list is computed anew. After a lost stream this one command brings everything back.

    \b
    Examples:
      weft sync --dry-run
      weft sync --vm vm-7 --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.sync(
            vms=vms or None, dry_run=dry_run, assume_yes=yes, on_progress=on_progress
        ),
        Manner("compared" if dry_run else "synced", output, wait, timeout_s, assume_yes, dry_run),
    )
