"""``weft list``: the shares in the catalog."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import output_option
from controlplane.cli.session import say, with_plane


@weft_command("list")
@output_option()
def command(output: str) -> None:
    """
    List the shares in the catalog.

    \b
    Examples:
      weft list -o wide
      weft list -o name
    """
    records = with_plane(lambda plane: plane.shares())
    from controlplane.cli.catalog_view import SHARE_COLUMNS, share_row
    from controlplane.cli.output import format_listing

    rows = [share_row(record) for record in sorted(records, key=lambda record: record.share.id)]
    if not rows and output in ("table", "wide"):
        say("no shares yet\n  try: weft publish ID --from SRC --class CLASS")
        return
    text = format_listing(SHARE_COLUMNS, rows, output)
    if text:
        click.echo(text)
