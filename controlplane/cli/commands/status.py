"""``weft status``: what the guests report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import output_option
from controlplane.cli.session import say, with_plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.cli.output import Column, Row
    from controlplane.plane import ControlPlane
    from controlplane.status import VmView


@weft_command("status")
@click.argument("vm", required=False)
@click.option("--class", "classes", multiple=True, metavar="CLASS", help="Only VMs of this class; repeatable.")
@click.option("--failed", is_flag=True, help="Only VMs that need a look.")
@output_option()
def command(vm: str | None, classes: tuple[str, ...], failed: bool, output: str) -> None:
    """
    Show what the guests have.

    By class and share, then failures by reason, then each VM. With VM: each share
    of that VM. ``-o json`` prints the guests' own records.

    \b
    Examples:
      weft status
      weft status vm-7
      weft status --class algebra --failed
      weft status -o json
    """
    from controlplane.cli import status_view
    from controlplane.cli.output import natural

    async def work(plane: ControlPlane) -> list[VmView]:
        if vm is not None:
            return await plane.status([vm])
        if not classes:
            return await plane.status()
        wanted = sorted({member for name in classes for member in await plane.members(name)})
        return await plane.status(wanted) if wanted else []

    views = sorted(with_plane(work), key=lambda view: natural(view.vm))
    shown = [view for view in views if not failed or status_view.is_failed(view)]
    if output in ("json", "name"):
        _print(status_view.VM_COLUMNS, [status_view.vm_row(view) for view in shown], output)
    elif vm is not None:
        _print_vm(shown, output)
    elif not views:
        say("no VM has a share or has reported yet\n  try: weft publish ID --from SRC --vm VM")
    else:
        click.echo(status_view.counts_table(views, classes) + "\n")
        reasons = status_view.reasons_table(views)
        if reasons:
            click.echo(reasons + "\n")
        _print(status_view.VM_COLUMNS, [status_view.vm_row(view) for view in shown], output)


def _print_vm(views: Sequence[VmView], output: str) -> None:
    from controlplane.cli import status_view

    for view in views:
        say(f"{view.vm}: {status_view.vm_state(view)}" + (f" ({view.problem})" if view.problem else ""))
        if view.status is not None:
            _print(status_view.SHARE_COLUMNS, [status_view.share_status_row(s) for s in view.status.shares], output)


def _print(columns: Sequence[Column], rows: Sequence[Row], output: str) -> None:
    from controlplane.cli.output import format_listing

    text = format_listing(columns, rows, output)
    if text:
        click.echo(text)
