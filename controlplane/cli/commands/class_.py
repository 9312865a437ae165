"""``weft class``: named groups of VMs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.command import group
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import output_option, wait_options, yes_option
from controlplane.cli.output import counted, natural
from controlplane.cli.rosterfile import parse_vm_ids
from controlplane.cli.session import say, with_plane
from controlplane.cli.textfile import read_text

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

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
    from controlplane.cli.output import format_listing

    rows = [class_row(name, members) for name, members in sorted(classes.items())]
    if not rows and output in ("table", "wide"):
        say("no classes yet\n  try: weft class create CLASS VM…")
        return
    text = format_listing(CLASS_COLUMNS, rows, output)
    if text:
        click.echo(text)


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

        click.echo(format_json({"class": name, "vms": list(members)}))
    else:
        for vm in sorted(members, key=natural):
            click.echo(vm)


@command.command("create")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
def create(name: str, vms: tuple[str, ...], file: str | None) -> None:
    """
    Create CLASS, with VMs in it if any are given.

    \b
    Examples:
      weft class create algebra vm-1 vm-2 vm-3
      weft class create physics -f physics.txt
    """
    members = _vm_ids(vms, file)

    async def work(plane: ControlPlane) -> None:
        await plane.create_class(name)
        if members:
            await plane.add_members(name, members)

    with_plane(work)
    say(f"created class {name} with {counted(len(members), 'VM')}")


@command.command("add")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@wait_options
@output_option("table", "json")
def add(name: str, vms: tuple[str, ...], file: str | None, wait: bool, timeout_s: float, output: str) -> None:
    """
    Add VMs to CLASS; they get its shares.

    \b
    Examples:
      weft class add algebra vm-4 --wait
    """
    members = _named_vm_ids(vms, file)
    run_fan_out(
        lambda plane, yes, on_progress: plane.add_members(name, members, on_progress=on_progress),
        Manner(f"added to class {name}", output, wait, timeout_s),
    )


@command.command("remove")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@wait_options
@output_option("table", "json")
def remove(name: str, vms: tuple[str, ...], file: str | None, wait: bool, timeout_s: float, output: str) -> None:
    """
    Remove VMs from CLASS; they lose its shares.

    \b
    Examples:
      weft class remove algebra vm-4
    """
    members = _named_vm_ids(vms, file)
    run_fan_out(
        lambda plane, yes, on_progress: plane.remove_members(name, members, on_progress=on_progress),
        Manner(f"removed from class {name}", output, wait, timeout_s),
    )


@command.command("set")
@click.argument("name", metavar="CLASS")
@click.argument("vms", metavar="[VM]...", nargs=-1)
@_from_file
@wait_options
@yes_option
@output_option("table", "json")
def set_members(
    name: str, vms: tuple[str, ...], file: str | None, wait: bool, timeout_s: float, assume_yes: bool, output: str
) -> None:
    """
    Make CLASS consist of exactly these VMs.

    \b
    Examples:
      weft class set algebra -f algebra.txt
      ./roster.sh | weft class set algebra -f -
    """
    members = _named_vm_ids(vms, file)
    run_fan_out(
        lambda plane, yes, on_progress: plane.set_members(name, members, assume_yes=yes, on_progress=on_progress),
        Manner(f"set class {name}", output, wait, timeout_s, assume_yes),
    )


@command.command("delete")
@click.argument("name", metavar="CLASS")
@click.option("--with-shares", is_flag=True, help="Also where shares are published to it.")
@wait_options
@output_option("table", "json")
def delete(name: str, with_shares: bool, wait: bool, timeout_s: float, output: str) -> None:
    """
    Delete CLASS.

    \b
    Examples:
      weft class delete algebra --with-shares --wait
    """
    run_fan_out(
        lambda plane, yes, on_progress: plane.delete_class(name, with_shares=with_shares, on_progress=on_progress),
        Manner(f"deleted class {name}", output, wait, timeout_s),
    )


def _vm_ids(vms: tuple[str, ...], file: str | None) -> tuple[str, ...]:
    named = parse_vm_ids("\n".join(vms), where="the command line")
    listed = parse_vm_ids(read_text(file), where=file) if file else ()
    return tuple(dict.fromkeys((*named, *listed)))


def _named_vm_ids(vms: tuple[str, ...], file: str | None) -> tuple[str, ...]:
    if not vms and not file:
        raise click.UsageError("name VMs, or a file of them with -f", ctx=click.get_current_context())
    return _vm_ids(vms, file)
