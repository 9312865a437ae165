"""``weft enable``: give a saved share to everybody it is for."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options


@weft_command("enable")
@click.argument("share_id", metavar="ID")
@fan_out_options
def command(share_id: str, **how: Any) -> None:
    """
    Mount a saved share wherever it belongs.

    Its targets are those it was saved with.

    \b
    Examples:
      weft enable docs --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.enable(share_id, assume_yes=yes, on_progress=on_progress),
        Manner(f"enabled {share_id}", **how),
    )
