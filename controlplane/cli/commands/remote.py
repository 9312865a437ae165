"""``weft remote``: connections that many shares use, changed in one place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controlplane.assign import assigned
from controlplane.cli.command import group
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import assign_options, fan_out_options, output_option
from controlplane.cli.session import say, with_plane
from controlplane.cli.shares_wanted import read_assignments
from controlplane.rclone_conf import rclone_conf
from controlplane.source import parse_source
from weft.terminal import show_block, show_json, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.records import RemoteRecord, ShareRecord

_description = click.option("--description", metavar="TEXT", help="What it is for; '' for nothing.")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would change in which VM, change nothing.")


@group("remote")
def command() -> None:
    """
    Keep connections that many shares use.

    A share that names a remote (--from NAME:path) follows every change of it.
    """


@command.command("list")
@output_option()
def list_remotes(output: str) -> None:
    """
    List the remotes.

    \b
    Examples:
      weft remote list
    """

    async def work(plane: ControlPlane) -> tuple[dict[Any, RemoteRecord], list[ShareRecord]]:
        return await plane.remotes(), await plane.shares()

    remotes, shares = with_plane(work)
    from controlplane.cli.catalog_view import REMOTE_COLUMNS, remote_row
    from controlplane.cli.listing import print_listing

    users = {name: [record.share.id for record in shares if record.remote == name] for name in remotes}
    rows = [remote_row(name, record, users[name]) for name, record in remotes.items()]
    print_listing(REMOTE_COLUMNS, rows, output, if_none=("no remotes yet", "  try: weft remote set NAME --from NAME:"))


@command.command("info")
@click.argument("name", metavar="REMOTE")
@click.option("--show-secrets", is_flag=True, help="Show keys and passwords.")
@output_option("table", "json")
def info(name: str, show_secrets: bool, output: str) -> None:
    """
    Show everything about a remote, and which shares use it.

    \b
    Examples:
      weft remote info minio
    """

    async def work(plane: ControlPlane) -> tuple[RemoteRecord, list[str]]:
        return await plane.remote(name), [record.share.id for record in await plane.shares(remote=name)]

    record, users = with_plane(work)
    from controlplane.cli.catalog_view import remote_card, without_nothing
    from controlplane.cli.output import format_fields, format_json

    card = {"name": name, **remote_card(record, show_secrets=show_secrets), "shares": users}
    if output == "json":
        show_json(format_json(card))
    else:
        show_block(format_fields(without_nothing(card)))


@command.command("set")
@click.argument("name", metavar="REMOTE")
@click.option("--from", "source", required=True, metavar="SRC", help="What to connect to; without a path.")
@assign_options
@_description
@_dry_run
@fan_out_options
def set_remote(name: str, source: str, **options: Any) -> None:
    """
    Make a remote, or replace what it says.

    SRC is NAME: (a section of your rclone.conf, with all it wraps), rclone's
    :type,option=value: or cubefs://owner@m1:17010,m2:17010/volume. Shares that use the
    remote follow.

    \b
    Examples:
      weft remote set minio --from minio:
      weft remote set files --from :sftp,host=files,user=weft: --secret config.pass=@password
      weft remote set team --from cubefs://team@10.0.0.1:17010/vol --secret cubefs.secret_key=@key
    """
    found = parse_source(source, rclone_conf(os.environ, Path.home()))
    for warning in found.warnings:
        tell(f"warning: {warning}")
    values: dict[str, Any] = {found.backend: {k: v for k, v in found.block.items() if v or k not in ("path", "subdir")}}
    for field, value in read_assignments(options["sets"], options["secrets"], backend=found.backend):
        values = assigned(values, field.path, value)
    _run(
        "set",
        name,
        lambda plane, **manner: plane.set_remote(
            name, found.backend, values[found.backend], description=options["description"], **manner
        ),
        options,
    )


@command.command("update")
@click.argument("name", metavar="REMOTE")
@assign_options
@_description
@_dry_run
@fan_out_options
def update(name: str, **options: Any) -> None:
    """
    Change single fields of a remote; every share that uses it follows in one fan-out.

    Where its client can (S3 keys), a share takes the change without a remount.

    \b
    Examples:
      weft remote update minio --secret config.secret_access_key=@new-key --wait
    """
    if not options["sets"] and not options["secrets"] and options["description"] is None:
        raise click.UsageError("nothing to change: give --set or --secret", ctx=click.get_current_context())

    async def work(plane: ControlPlane, **manner: Any) -> Any:
        backend = (await plane.remote(name)).backend
        return await plane.update_remote(
            name,
            {f.name: value for f, value in read_assignments(options["sets"], options["secrets"], backend=backend)},
            description=options["description"],
            **manner,
        )

    _run("update", name, work, options)


@command.command("delete")
@click.argument("name", metavar="REMOTE")
def delete(name: str) -> None:
    """
    Delete a remote that no share uses.

    \b
    Examples:
      weft remote delete minio
    """
    with_plane(lambda plane: plane.delete_remote(name))
    say(f"deleted remote {name}")


def _run(verb: str, name: str, work: Any, options: dict[str, Any]) -> None:
    dry_run = options["dry_run"]
    done = {"set": "set", "update": "updated"}[verb]
    run_fan_out(
        lambda plane, yes, on_progress: work(plane, dry_run=dry_run, assume_yes=yes, on_progress=on_progress),
        Manner(
            f"would {verb} remote {name}" if dry_run else f"{done} remote {name}",
            options["output"],
            options["wait"],
            options["timeout_s"],
            options["assume_yes"],
            dry_run,
        ),
    )
