"""``weft status``: what the guests report."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import output_option
from controlplane.cli.session import fast_loop, say, with_plane
from weft.terminal import show, show_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.cli.output import Row
    from controlplane.plane import ControlPlane
    from controlplane.views import VmView

ALL_LISTED = 100
"""With more VMs than this a table lists those that are not ok; the others would push the counts off the screen."""


@weft_command("status")
@click.argument("vm", metavar="[VM]", required=False)
@click.option("--class", "classes", multiple=True, metavar="CLASS", help="Only VMs of this class; repeatable.")
@click.option("--failed", is_flag=True, help="Only VMs that need a look.")
@click.option("-w", "--watch", "is_watch", is_flag=True, help="Follow what changes, until Ctrl-C.")
@output_option()
def command(vm: str | None, classes: tuple[str, ...], failed: bool, is_watch: bool, output: str) -> None:
    """
    Show what the guests have.

    By class and share, then failures by reason, then each VM; of more than a hundred VMs those that
    are not ok. With VM: everything about that one. ``-o json`` prints the guests' own records, and
    what is known about them here. ``-w`` follows: as a table on a terminal, else a line for each change.

    \b
    Examples:
      weft status
      weft status vm-7
      weft status --class algebra --failed
      weft status -w
      weft status -o json
    """
    if is_watch:
        _watch(vm, classes, failed, output)
        return
    gc.disable()  # a quarter of the time with ten thousand VMs, and the process ends before there is any garbage
    from controlplane.cli import status_view
    from controlplane.cli.output import natural

    async def work(plane: ControlPlane) -> list[VmView]:
        if vm is not None:
            return await plane.status([vm])
        if not classes:
            return await plane.status()
        wanted = sorted({member for name in classes for member in await plane.members(name)})
        return await plane.status(wanted) if wanted else []

    views = sorted(with_plane(work, loop_factory=fast_loop), key=lambda view: natural(view.vm))
    shown = [view for view in views if not failed or status_view.is_failed(view)]
    match output:
        case "json":
            _print([status_view.vm_row(view) for view in shown], output)
        case "name":
            show(*(view.vm for view in shown))
        case _ if vm is not None:
            _print_vm(views, output)
        case _ if not views:
            say(*_nobody(classes))
        case _:
            _print_fleet(views, shown, classes, output)


def _print_fleet(views: Sequence[VmView], shown: Sequence[VmView], classes: Sequence[str], output: str) -> None:
    from controlplane.cli import status_view
    from controlplane.cli.output import Row, counted

    show_block(status_view.counts_table(views, classes), end="\n\n")
    reasons = status_view.reasons_table(views)
    if reasons:
        show_block(reasons, end="\n\n")
    states = status_view.states_of(views)
    lists_all = len(shown) <= ALL_LISTED or output == "wide"
    listed = [view for view in shown if lists_all or states[view.vm] != "ok"]
    if listed:
        _print([Row(view.vm, status_view.vm_cells(view), {}) for view in listed], output)
    left_out = len(shown) - len(listed)
    say(
        status_view.headline(states)
        + (f"; {counted(left_out, 'VM')} not listed (-o wide lists all)" if left_out else "")
    )
    step = status_view.next_step([view for view in views if states[view.vm] != "ok"])
    if step:
        say(f"  try: {step}")


def _print_vm(views: Sequence[VmView], output: str) -> None:
    from controlplane.cli import status_view
    from controlplane.cli.output import format_fields, format_listing

    for view in views:
        say(f"{view.vm}: {status_view.vm_state(view)}" + (f" ({view.problem})" if view.problem else ""))
        card = status_view.vm_card(view)
        show_block(format_fields({name: value for name, value in card.items() if value not in (None, "", [])}))
        rows = status_view.share_rows(view)
        if rows:
            show("")
            show_block(format_listing(status_view.SHARE_COLUMNS, rows, output))
        step = status_view.next_step([view])
        if step and not step.startswith(f"weft status {view.vm}"):
            say(f"  try: {step}")
        elif step and ": " in step:
            say(f"  try: {step.partition(': ')[2]}")


def _print(rows: Sequence[Row], output: str) -> None:
    from controlplane.cli.listing import show_listing
    from controlplane.cli.status_view import VM_COLUMNS

    show_listing(VM_COLUMNS, rows, output)


def _nobody(classes: Sequence[str]) -> tuple[str, str]:
    if classes:
        return f"no VM is in class {' or '.join(classes)}", f"  try: weft class add {classes[0]} VM…"
    return "no VM has a share or has reported yet", "  try: weft publish ID --from SRC --vm VM"


def _watch(vm: str | None, classes: tuple[str, ...], failed: bool, output: str) -> None:
    from controlplane.cli.status_live import show_live
    from controlplane.cli.status_view import is_failed

    def choose(views: Sequence[VmView]) -> list[VmView]:
        return [
            view
            for view in views
            if (vm is None or view.vm == vm)
            and (not classes or not set(classes).isdisjoint(view.classes))
            and (not failed or is_failed(view))
        ]

    async def work(plane: ControlPlane) -> None:
        if vm is not None:
            await plane.status([vm])  # an unknown one is said at once
        for name in classes:
            await plane.members(name)
        async with plane.watch_status() as watch:
            await show_live(watch, choose, classes, output)

    with_plane(work, loop_factory=fast_loop)
