"""``weft disable``: keep a share saved, and mounted nowhere."""

from __future__ import annotations

from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options


@weft_command("disable")
@click.argument("share_id", metavar="ID")
@fan_out_options
def command(share_id: str, **how: Any) -> None:
    """
    Keep a share saved, and mount it nowhere.

    Source, secrets and targets stay in the catalog; weft enable brings it back.

    \b
    Examples:
      weft disable docs --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.disable(share_id, assume_yes=yes, on_progress=on_progress),
        Manner(f"disabled {share_id}", **how),
    )
