"""``weft retry``: try a share again now, where it is not as it should be."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options, target_options


@weft_command("retry")
@click.argument("share_id", metavar="ID")
@target_options
@fan_out_options
def command(share_id: str, classes: tuple[str, ...], vms: tuple[str, ...], **how: Any) -> None:
    """
    Try a share again now.

    Only VMs that report a failure, or have not reported the share, are told. They try at once,
    also after a failure that would otherwise wait for another spec. Where it is mounted, nothing happens.

    \b
    Examples:
      weft retry docs --wait
      weft retry docs --class algebra --wait=2m
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.retry(
            share_id, classes=classes, vms=vms, assume_yes=yes, on_progress=on_progress
        ),
        Manner(f"retried {share_id}", **how),
    )
