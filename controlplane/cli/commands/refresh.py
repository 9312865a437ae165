"""``weft refresh``: new content is there."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options, target_options


@weft_command("refresh")
@click.argument("share_id", metavar="ID")
@target_options
@fan_out_options
def command(share_id: str, classes: tuple[str, ...], vms: tuple[str, ...], **how: Any) -> None:
    """
    Say that a share has new content.

    Guests drop the listings and attributes they cached, and remount nothing: open files stay open.
    Where the share failed or waits, it is tried again now. A CubeFS client cannot be told to drop
    anything: there, new content shows when the client's own cache times end.

    \b
    Examples:
      weft refresh docs --wait
      weft refresh docs --vm vm-7
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.refresh(
            share_id, classes=classes, vms=vms, assume_yes=yes, on_progress=on_progress
        ),
        Manner(f"refreshed {share_id}", **how),
    )
