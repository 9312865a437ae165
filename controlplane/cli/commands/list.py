"""``weft list``: the shares in the catalog."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import label_option, output_option, target_options
from controlplane.cli.session import with_plane


@weft_command("list")
@click.option("--owner", default="", metavar="NAME", help="Only this owner's.")
@click.option("--tenant", default="", metavar="NAME", help="Only this tenant's.")
@target_options
@label_option
@click.option("--backend", default="", metavar="NAME", help="Only of this backend.")
@click.option("--at", default="", metavar="PATH", help="Only those mounted here or below.")
@click.option("--remote", default="", metavar="NAME", help="Only those that use this remote.")
@output_option()
def command(output: str, **wanted: Any) -> None:
    """
    List the shares in the catalog.

    Filters given together must all hold. With --vm, also what a class gives the VM.

    \b
    Examples:
      weft list -o wide
      weft list --owner ada --class algebra
      weft list --at /mnt --label term=2026 -o name
    """
    records = with_plane(lambda plane: plane.shares(**wanted))
    from controlplane.cli.catalog_view import SHARE_COLUMNS, share_row
    from controlplane.cli.listing import print_listing

    now = datetime.now(UTC)
    rows = [share_row(record, now=now) for record in sorted(records, key=lambda record: record.share.id)]
    hint = ("no shares yet", "  try: weft publish ID --from SRC --class CLASS")
    print_listing(SHARE_COLUMNS, rows, output, if_none=("no share matches",) if any(wanted.values()) else hint)
