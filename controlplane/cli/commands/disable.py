"""``weft disable``: keep a share saved, and mounted nowhere."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, wait_options, yes_option


@weft_command("disable")
@click.argument("share_id", metavar="ID")
@wait_options
@yes_option
@output_option("table", "json")
def command(share_id: str, wait: bool, timeout_s: float, assume_yes: bool, output: str) -> None:
    """
    Keep a share saved, and mount it nowhere.

    Source, secrets and targets stay in the catalog; weft enable brings it back.

    \b
    Examples:
      weft disable docs --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.disable(share_id, assume_yes=yes, on_progress=on_progress),
        Manner(f"disabled {share_id}", output, wait, timeout_s, assume_yes),
    )
