"""``weft vm``: the VMs that are known, from whatever source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.asking import ask
from controlplane.cli.command import group
from controlplane.cli.options import Duration, each_vm, output_option, yes_option
from controlplane.cli.output import counted, natural
from controlplane.cli.session import say, with_plane
from weft.terminal import show_block, show_json, tell

if TYPE_CHECKING:
    from controlplane.forgetting import Forgotten
    from controlplane.plane import ControlPlane

SHOWN_VMS = 10
"""How many VMs a question names."""


@group("vm")
def command() -> None:
    """
    See the VMs that are known, and forget those that are gone.

    Known are those in a class, those named by a share, those with a stored list, and those
    that ever reported.
    """


@command.command("list")
@output_option()
def list_vms(output: str) -> None:
    """
    List every known VM: what reported when, with which agent and backends.

    \b
    Examples:
      weft vm list -o wide
      weft vm list -o name
    """
    views = with_plane(lambda plane: plane.vms())
    from controlplane.cli.listing import print_listing
    from controlplane.cli.vm_view import KNOWN_VM_COLUMNS, known_vm_row

    rows = [known_vm_row(view) for view in sorted(views, key=lambda view: natural(view.vm))]
    print_listing(KNOWN_VM_COLUMNS, rows, output, if_none=("no VM is known yet", "  try: weft class create CLASS VM…"))


@command.command("info")
@click.argument("vm", metavar="VM")
@output_option("table", "json")
def info(vm: str, output: str) -> None:
    """
    Show a VM as a machine: its agent, its backends, its classes.

    Its shares are in weft status VM.

    \b
    Examples:
      weft vm info vm-7
    """
    (view,) = with_plane(lambda plane: plane.status([vm]))
    from controlplane.cli.catalog_view import without_nothing
    from controlplane.cli.output import format_fields, format_json
    from controlplane.cli.vm_view import vm_card

    card = vm_card(view)
    if output == "json":
        show_json(format_json(card))
    else:
        show_block(format_fields(without_nothing(card)))


@command.command("forget")
@click.argument("vms", metavar="[VM]...", nargs=-1, callback=each_vm)
@click.option("--stale", "stale_s", type=Duration(), metavar="TIME", help="All that were silent for so long, as 30d.")
@yes_option
def forget(vms: tuple[str, ...], stale_s: float | None, assume_yes: bool) -> None:
    """
    Forget VMs that are gone.

    They leave their classes and every share's targets, and their stored lists and reports
    are removed, so that a machine with the same id later inherits nothing. A guest that is
    still there keeps its shares. It takes an admin's credentials where the broker has accounts.

    \b
    Examples:
      weft vm forget vm-7
      weft vm forget --stale 30d
    """
    if bool(vms) == (stale_s is not None):
        raise click.UsageError("name VMs, or say --stale TIME", ctx=click.get_current_context())

    async def work(plane: ControlPlane) -> Forgotten | None:
        gone = vms if stale_s is None else await plane.stale_vms(stale_s)
        if stale_s is not None and gone and not assume_yes:
            more = f" and {len(gone) - SHOWN_VMS} more" if len(gone) > SHOWN_VMS else ""
            say(f"silent: {', '.join(gone[:SHOWN_VMS])}{more}")
            ask(f"Forget {counted(len(gone), 'VM')}?")
        return await plane.forget(gone, assume_yes=assume_yes) if gone else None

    forgotten = with_plane(work)
    if forgotten is None:
        say("no VM has been silent for so long")
        return
    for warning in forgotten.warnings:
        tell(f"warning: {warning}")
    say(f"forgot {counted(len(forgotten.vms), 'VM')} ({counted(forgotten.messages, 'message')} removed)")
