"""``weft retry``: try a share again now, where it is not as it should be."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, target_options, wait_options, yes_option


@weft_command("retry")
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
        Manner(f"retried {share_id}", output, wait, timeout_s, assume_yes),
    )
