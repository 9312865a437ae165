"""``weft vm``: the VMs that are known, from whatever source."""

from __future__ import annotations

import click

from controlplane.cli.command import group
from controlplane.cli.options import output_option
from controlplane.cli.session import say, with_plane


@group("vm")
def command() -> None:
    """
    See the VMs that are known.

    Those in a class, those named by a share, and those that ever reported.
    """


@command.command("list")
@output_option()
def list_vms(output: str) -> None:
    """
    List every known VM.

    \b
    Examples:
      weft vm list -o wide
      weft vm list -o name
    """
    views = with_plane(lambda plane: plane.vms())
    from controlplane.cli.output import format_listing, natural
    from controlplane.cli.status_view import VM_COLUMNS, vm_row

    rows = [vm_row(view) for view in sorted(views, key=lambda view: natural(view.vm))]
    if not rows and output in ("table", "wide"):
        say("no VM is known yet\n  try: weft class create CLASS VM…")
        return
    text = format_listing(VM_COLUMNS, rows, output)
    if text:
        click.echo(text)
