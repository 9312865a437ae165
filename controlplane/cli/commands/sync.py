"""``weft sync``: recompute what every VM should have, and repair what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.diff_view import guest_lines
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import Duration, fan_out_options
from controlplane.cli.session import say
from controlplane.cli.watching import watch

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.results import FanOut, OnProgress, Outcome


@weft_command("sync")
@click.option("--vm", "vms", multiple=True, metavar="VM", help="Only this VM; repeatable.")
@click.option("--dry-run", is_flag=True, help="Say what differs, change nothing.")
@click.option("-w", "--watch", "is_watch", is_flag=True, help="Keep doing so until ended; roll out, let expire.")
@click.option(
    "--interval", "interval_s", type=Duration(), metavar="TIME", help="With --watch: compare this often [60s]."
)
@click.option(
    "--keep-expired",
    "kept_s",
    type=Duration(),
    metavar="TIME",
    help="How long expired shares stay in the catalog [1d].",
)
@fan_out_options
def command(
    vms: tuple[str, ...],
    dry_run: bool,
    is_watch: bool,
    interval_s: float | None,
    kept_s: float | None,
    wait: bool,
    timeout_s: float,
    assume_yes: bool,
    output: str,
) -> None:
    """
    Repair what differs from the catalog.

    Every VM's list is computed anew. After a lost stream this one command brings everything back.
    How many guests have what is stored for them is said too; --wait waits for them.

    With --watch it goes on until ended: changes of the catalog and of rosters kept elsewhere
    reach their VMs, rollouts go from wave to wave, and shares that are over leave the catalog.
    A change that would take shares from more than a tenth of all VMs is not made, but reported.
    Several may watch at once.

    \b
    Examples:
      weft sync --dry-run
      weft sync --vm vm-7 --wait
      weft sync --watch
    """
    from controlplane.expiry import KEPT_S

    if is_watch:
        if vms or dry_run or wait or assume_yes:
            raise click.UsageError(
                "--watch goes with none of --vm, --dry-run, --wait and --yes", ctx=click.get_current_context()
            )
        watch(interval_s=interval_s, kept_s=KEPT_S if kept_s is None else kept_s, as_json=output == "json")
        return
    if interval_s is not None:
        raise click.UsageError("--interval needs --watch", ctx=click.get_current_context())
    standing: list[Outcome] = []

    async def work(plane: ControlPlane, yes: bool, on_progress: OnProgress) -> FanOut:
        fan_out = await plane.sync(
            vms=vms or None,
            dry_run=dry_run,
            kept_s=KEPT_S if kept_s is None else kept_s,
            assume_yes=yes,
            on_progress=on_progress,
        )
        if not (wait or dry_run or output == "json"):
            standing.append(await plane.standing(fan_out))
        return fan_out

    what = "compared" if dry_run else "synced"
    try:
        run_fan_out(work, Manner(what, output, wait, timeout_s, assume_yes, dry_run))
    finally:
        for line in guest_lines(standing):
            say(line)
