"""``weft class``: named groups of VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.asking import ask, is_asked
from controlplane.cli.command import group
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options, output_option
from controlplane.cli.output import counted, natural
from controlplane.cli.session import say, with_plane
from controlplane.cli.textfile import read_text
from controlplane.vm_lists import parse_vm_ids
from weft.terminal import show, show_json, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from controlplane.plane import ControlPlane
    from controlplane.results import FanOut, OnProgress

SHOWN_VMS = 10
"""How many VMs a difference names."""
_from_file = click.option("-f", "--file", "file", metavar="FILE", help="VM ids, one per line or as JSON; - is stdin.")


@group("class")
def command() -> None:
    """
    Name groups of VMs.

    Who joins a class gets its shares, who leaves it loses them.
    """


@command.command("list")
@output_option()
def list_classes(output: str) -> None:
    """
    List the classes.

    \b
    Examples:
      weft class list
    """
    classes = with_plane(lambda plane: plane.classes())
    from controlplane.cli.catalog_view import CLASS_COLUMNS, class_row
    from controlplane.cli.listing import print_listing

    rows = [class_row(name, members) for name, members in sorted(classes.items())]
    print_listing(CLASS_COLUMNS, rows, output, if_none=("no classes yet", "  try: weft class create CLASS VM…"))


@command.command("info")
@click.argument("name", metavar="CLASS")
@output_option("name", "json")
def info(name: str, output: str) -> None:
    """
    Show the VMs of CLASS.

    \b
    Examples:
      weft class info algebra
    """
    members = with_plane(lambda plane: plane.members(name))
    if output == "json":
        from controlplane.cli.output import format_json

        show_json(format_json({"class": name, "vms": list(members)}))
    else:
        for vm in sorted(members, key=natural):
            show(vm)


@command.command("create")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
def create(name: str, vms: tuple[str, ...], file: str | None) -> None:
    """
    Create CLASS, with VMs in it if any are given.

    vm-{01..30} names thirty VMs, also where no shell writes them out.

    \b
    Examples:
      weft class create algebra vm-{01..30}
      weft class create physics -f physics.txt
    """
    members = _vm_ids(vms, file)

    async def work(plane: ControlPlane) -> FanOut | None:
        await plane.create_class(name)
        return await plane.add_members(name, members) if members else None

    fan_out = with_plane(work)
    for warning in fan_out.warnings if fan_out is not None else ():
        tell(f"warning: {warning}")
    say(f"created class {name} with {counted(len(members), 'VM')}")


@command.command("add")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@fan_out_options
def add(name: str, vms: tuple[str, ...], file: str | None, **how: Any) -> None:
    """
    Add VMs to CLASS; they get its shares.

    \b
    Examples:
      weft class add algebra vm-31 --wait
      cut -d, -f1 students.csv | weft class add algebra -f -
    """
    members = _named_vm_ids(vms, file)
    run_fan_out(
        lambda plane, yes, on_progress: plane.add_members(name, members, assume_yes=yes, on_progress=on_progress),
        Manner(f"added to class {name}", **how),
    )


@command.command("remove")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@fan_out_options
def remove(name: str, vms: tuple[str, ...], file: str | None, **how: Any) -> None:
    """
    Remove VMs from CLASS; they lose its shares.

    \b
    Examples:
      weft class remove algebra vm-04
    """
    members = _named_vm_ids(vms, file)
    run_fan_out(
        lambda plane, yes, on_progress: plane.remove_members(name, members, assume_yes=yes, on_progress=on_progress),
        Manner(f"removed from class {name}", **how),
    )


@command.command("set")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@click.option("--dry-run", is_flag=True, help="Only show who would join and who would leave.")
@fan_out_options
def set_members(name: str, vms: tuple[str, ...], file: str | None, dry_run: bool, assume_yes: bool, **how: Any) -> None:
    """
    Make CLASS consist of exactly these VMs.

    Who joins and who leaves is shown first.

    \b
    Examples:
      weft class set algebra -f algebra.txt
      ./roster.sh | weft class set algebra -f -
    """
    members = _named_vm_ids(vms, file)

    async def work(plane: ControlPlane, yes: bool, on_progress: OnProgress) -> FanOut:
        if not yes or assume_yes:  # otherwise this is the second try, after it was shown
            has_leavers = _show_difference(await plane.members(name), members)
            if has_leavers and not (assume_yes or dry_run):
                ask("Do it?")
        return await plane.set_members(name, members, dry_run=dry_run, assume_yes=yes, on_progress=on_progress)

    what = f"{'would set' if dry_run else 'set'} class {name}"
    run_fan_out(work, Manner(what, assume_yes=assume_yes, dry_run=dry_run, **how))


def _show_difference(before: Sequence[str], after: Sequence[str]) -> bool:
    """Show who joins and who leaves; True where somebody leaves."""
    joining = sorted(set(after).difference(before), key=natural)
    leaving = sorted(set(before).difference(after), key=natural)
    for sign, vms in (("+", joining), ("-", leaving)):
        if vms:
            more = f" and {len(vms) - SHOWN_VMS} more" if len(vms) > SHOWN_VMS else ""
            say(f"{sign} {counted(len(vms), 'VM')}: {', '.join(vms[:SHOWN_VMS])}{more}")
    return bool(leaving)


@command.command("delete")
@click.argument("name", metavar="CLASS")
@click.option("--with-shares", is_flag=True, help="Also where shares are published to it; they stay in the catalog.")
@fan_out_options
def delete(name: str, with_shares: bool, **how: Any) -> None:
    """
    Delete CLASS. Where shares are published to it, this asks, or needs --with-shares.

    \b
    Examples:
      weft class delete algebra --with-shares --wait
    """

    answers = [with_shares]

    async def work(plane: ControlPlane, yes: bool, on_progress: OnProgress) -> FanOut:
        using = [] if answers[0] else [record.share.id for record in await plane.shares(classes=[name])]
        if using:
            answers[0] = is_asked(f"{', '.join(using)}: published to class {name}. Take it from its VMs?")
        return await plane.delete_class(name, with_shares=answers[0], assume_yes=yes, on_progress=on_progress)

    run_fan_out(work, Manner(f"deleted class {name}", **how))


def _vm_ids(vms: tuple[str, ...], file: str | None) -> tuple[str, ...]:
    named = parse_vm_ids("\n".join(vms), where="the command line")
    listed = parse_vm_ids(read_text(file), where=file) if file else ()
    return tuple(dict.fromkeys((*named, *listed)))


def _named_vm_ids(vms: tuple[str, ...], file: str | None) -> tuple[str, ...]:
    if not vms and not file:
        raise click.UsageError("name VMs, or a file of them with -f", ctx=click.get_current_context())
    return _vm_ids(vms, file)
