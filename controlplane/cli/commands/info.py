"""``weft info``: everything about one share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import output_option
from controlplane.cli.session import with_plane
from weft.terminal import show_block, show_json

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane


@weft_command("info")
@click.argument("share_id", metavar="ID")
@click.option("--show-secrets", is_flag=True, help="Show keys and passwords.")
@output_option("table", "json")
def command(share_id: str, show_secrets: bool, output: str) -> None:
    """
    Show everything about a share.

    Secrets are replaced by ***.

    \b
    Examples:
      weft info docs
      weft info docs -o json --show-secrets
    """
    from controlplane.cli.catalog_view import share_card, without_nothing
    from controlplane.cli.output import counted, format_fields, format_json

    async def work(plane: ControlPlane) -> dict[str, Any]:
        record = await plane.share(share_id)
        return {**share_card(record, show_secrets=show_secrets), "on": list(await plane.targets(share_id))}

    card = with_plane(work)
    if output == "json":
        show_json(format_json(card))
    else:
        shown = without_nothing({**card.pop("share"), **card})
        show_block(format_fields({**shown, "on": counted(len(card["on"]), "VM")}))
