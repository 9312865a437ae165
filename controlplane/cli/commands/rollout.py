"""``weft rollout``: editions that go out in waves."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from controlplane.cli.command import group
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, timeout_option, wait_options
from controlplane.cli.pacing import explicit_timeout_s, follow_rollouts, tell_rollouts
from controlplane.cli.session import say, with_plane
from weft.terminal import show, show_json


@group("rollout")
def command() -> None:
    """
    Look after shares that go out in waves (weft publish --wave).

    VMs that a rollout has not reached keep the edition before. It goes on while somebody
    waits for it, or weft sync --watch runs.
    """


@command.command("status")
@click.argument("share_id", metavar="[ID]", required=False)
@output_option()
def status(share_id: str | None, output: str) -> None:
    """
    Show every rollout under way, or that of ID with the VMs that do not have it.

    \b
    Examples:
      weft rollout status
      weft rollout status docs
    """
    from controlplane.cli.listing import print_listing
    from controlplane.cli.output import format_json
    from controlplane.cli.rollout_view import ROLLOUT_COLUMNS, next_command, rollout_lines, rollout_record, rollout_row

    if share_id is None:
        rows = [rollout_row(standing) for standing in with_plane(lambda plane: plane.rollouts())]
        print_listing(ROLLOUT_COLUMNS, rows, output, if_none=("no rollout is under way",))
        return
    standing = with_plane(lambda plane: plane.rollout(share_id))
    if output == "json":
        show_json(format_json(rollout_record(standing)))
        return
    for line in rollout_lines(standing, now=datetime.now(UTC)):
        show(line)
    if step := next_command(standing):
        say(f"  try: {step}")


@command.command("pause")
@click.argument("share_id", metavar="ID")
@output_option("table", "json")
def pause(share_id: str, output: str) -> None:
    """
    Let the rollout of ID go no further; nobody loses what they have.

    \b
    Examples:
      weft rollout pause docs
    """
    run_fan_out(lambda plane, yes, on_progress: plane.pause_rollout(share_id), Manner(f"paused {share_id}", output))


@command.command("resume")
@click.argument("share_id", metavar="ID")
@click.option("--max-failed", type=click.IntRange(0), metavar="N", help="From now on; also for the canary.")
@click.option("--wait", is_flag=True, help="Take it from wave to wave until it is done or stops.")
@timeout_option
@output_option("table", "json")
def resume(share_id: str, max_failed: int | None, wait: bool, timeout_s: float, output: str) -> None:
    """
    Let the rollout of ID go on where it is, after a pause, a stop or a closed laptop.

    \b
    Examples:
      weft rollout resume docs --wait
      weft rollout resume docs --max-failed 3
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.resume_rollout(share_id, max_failed=max_failed),
        Manner(f"resumed {share_id}", output),
    )
    if wait:
        follow_rollouts([share_id], timeout_s=explicit_timeout_s(timeout_s))
    else:
        tell_rollouts([share_id])


@command.command("undo")
@click.argument("share_id", metavar="ID")
@wait_options
@output_option("table", "json")
def undo(share_id: str, wait: bool, timeout_s: float, output: str) -> None:
    """
    Give everybody the edition of ID before its rollout; a share that was new ends.

    \b
    Examples:
      weft rollout undo docs --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.undo_rollout(share_id, on_progress=on_progress),
        Manner(f"undid the rollout of {share_id}", output, wait, timeout_s),
    )
