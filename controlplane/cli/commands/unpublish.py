"""``weft unpublish``: take a share away from VMs, or end it."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, target_options, wait_options, yes_option


@weft_command("unpublish")
@click.argument("share_id", metavar="ID")
@target_options
@wait_options
@yes_option
@output_option("table", "json")
def command(
    share_id: str,
    classes: tuple[str, ...],
    vms: tuple[str, ...],
    wait: bool,
    timeout_s: float,
    assume_yes: bool,
    output: str,
) -> None:
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
        Manner(f"unpublished {share_id}", output, wait, timeout_s, assume_yes),
    )
