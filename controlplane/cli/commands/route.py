"""``weft route``: which share serves a path in a VM, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import output_option
from controlplane.cli.session import with_plane
from weft.terminal import show, show_json, tell
from weft.wire.ids import parse_vm_id
from weft.wire.paths import parse_absolute_path

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.routing import VmRoute


@weft_command("route")
@click.argument("vm", metavar="VM")
@click.argument("path", metavar="PATH")
@output_option("table", "json")
def command(vm: str, path: str, output: str) -> None:
    """
    Say which share serves a path in a VM, and why.

    Of the shares at or above the path, the one with the highest priority serves it,
    then the one with the longest mount point. Where it is not mounted, what the guest
    shows instead is said too.

    \b
    Examples:
      weft route vm-7 /mnt/team/plan.txt
      weft route vm-7 /mnt/team -o json
    """
    import msgspec

    from controlplane.cli.output import format_json
    from weft.wire.answer import describe

    parse_vm_id(vm)
    parse_absolute_path(path, field="PATH")

    async def work(plane: ControlPlane) -> VmRoute:
        return await plane.route(vm, path)

    found = with_plane(work)
    if output == "json":
        show_json(format_json({**msgspec.to_builtins(found.answer), "doubts": list(found.doubts)}))
        return
    show(*describe(found.answer))
    for doubt in found.doubts:
        tell(f"note: {doubt}")
