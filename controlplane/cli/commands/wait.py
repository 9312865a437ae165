"""``weft wait``: until every VM has a share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import FAILED, NOT_CONVERGED, leave
from controlplane.cli.fanout import report_outcome, waited
from controlplane.cli.options import output_option, target_options, timeout_option
from controlplane.cli.outcome import outcome_record
from controlplane.cli.output import format_json
from controlplane.cli.session import with_plane
from weft.terminal import show_json, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.results import Outcome


@weft_command("wait")
@click.argument("share_id", metavar="ID")
@target_options
@timeout_option
@output_option("table", "json")
def command(share_id: str, classes: tuple[str, ...], vms: tuple[str, ...], timeout_s: float, output: str) -> None:
    """
    Wait until every VM has a share.

    Exits with 3 where one has not in time.

    \b
    Examples:
      weft wait docs
      weft wait docs --class algebra --timeout 5m
    """

    async def work(plane: ControlPlane) -> Outcome:
        return await waited(plane, share_id, vms=vms, classes=classes, timeout_s=timeout_s)

    outcome = with_plane(work)
    if not (outcome.converged or outcome.failed or outcome.waiting):
        tell(f"weft: cannot wait for {share_id!r}: no VM is to have it", f"  try: weft info {share_id}")
        leave(FAILED)
    if output == "json":
        show_json(format_json(outcome_record(outcome)))
    else:
        report_outcome(outcome, timeout_s=timeout_s)
    if not outcome.is_converged:
        leave(NOT_CONVERGED)
