"""``weft history``: the editions of a share."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.listing import show_listing
from controlplane.cli.options import output_option
from controlplane.cli.session import with_plane


@weft_command("history")
@click.argument("share_id", metavar="ID")
@click.option("--show-secrets", is_flag=True, help="Show keys and passwords, with -o json.")
@output_option()
def command(share_id: str, show_secrets: bool, output: str) -> None:
    """
    List the editions of a share, also of one that was ended.

    The newest is the last. CHANGED names the fields that differ from the edition before.

    \b
    Examples:
      weft history docs
      weft history docs -o json
    """
    editions = with_plane(lambda plane: plane.history(share_id))
    from controlplane.cli.catalog_view import EDITION_COLUMNS, edition_row

    rows = [edition_row(edition, show_secrets=show_secrets) for edition in editions]
    show_listing(EDITION_COLUMNS, rows, output)
