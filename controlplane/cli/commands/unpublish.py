"""``weft unpublish``: take a share away from VMs, or end it."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options, target_options


@weft_command("unpublish")
@click.argument("share_id", metavar="ID")
@target_options
@fan_out_options
def command(share_id: str, classes: tuple[str, ...], vms: tuple[str, ...], **how: Any) -> None:
    """
    Take a share away.

    With classes or VMs: from those. Without: from all, and the share ends. A VM named
    here does not have the share afterwards, also where a class would give it.

    \b
    Examples:
      weft unpublish docs --wait
      weft unpublish docs --vm vm-7
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.unpublish(
            share_id, classes=classes, vms=vms, assume_yes=yes, on_progress=on_progress
        ),
        Manner(f"unpublished {share_id}", **how),
    )
