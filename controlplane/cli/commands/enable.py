"""``weft enable``: give a saved share to everybody it is for."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, wait_options, yes_option


@weft_command("enable")
@click.argument("share_id", metavar="ID")
@wait_options
@yes_option
@output_option("table", "json")
def command(share_id: str, wait: bool, timeout_s: float, assume_yes: bool, output: str) -> None:
    """
    Mount a saved share wherever it belongs.

    Its targets are those it was saved with.

    \b
    Examples:
      weft enable docs --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.enable(share_id, assume_yes=yes, on_progress=on_progress),
        Manner(f"enabled {share_id}", output, wait, timeout_s, assume_yes),
    )
