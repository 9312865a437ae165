"""``weft publish``: create or replace shares, and fan them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.named_source import CATALOG, RCLONE_CONF
from controlplane.cli.options import assign_options, each_vm, fan_out_options, label_option, target_options
from controlplane.cli.pacing import (
    expiry_sets,
    explicit_timeout_s,
    follow_rollouts,
    pacing_of,
    pacing_options,
    tell_rollouts,
)
from controlplane.cli.session import say, with_plane
from controlplane.cli.shares_wanted import Found, Prepared, Wanted, prepare
from weft.terminal import show_block, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.results import FanOut, OnProgress


_WANTED = ("name", "file", "source", "at", "readonly", "priority", "sets", "secrets", "remote_of")


@weft_command("publish")
@click.argument("name", metavar="[ID|FILE]", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="Shares as JSON or TOML; - is standard input.")
@click.option("--from", "source", metavar="SRC", help="Where the data is; see below.")
@click.option(
    "--remote-of", type=click.Choice([CATALOG, RCLONE_CONF]), help="Where the name in --from is defined, if in both."
)
@click.option("--at", metavar="PATH", help="Mount point in the guests [/run/weft/shares/ID].")
@click.option("--readonly/--writable", default=None, help="Whether guests may only read.")
@click.option("--priority", type=int, metavar="N", help="Of overlapping shares the highest serves a path.")
@assign_options
@pacing_options
@target_options
@click.option(
    "--except",
    "except_vms",
    multiple=True,
    metavar="VM",
    callback=each_vm,
    help="A VM that does not get it; repeatable.",
)
@click.option("--only", is_flag=True, help="The targets given here replace those it had.")
@click.option("--disabled", is_flag=True, help="Save it, mount it nowhere.")
@click.option("--owner", default="", metavar="NAME", help="Who it belongs to; for finding.")
@click.option("--tenant", default="", metavar="NAME", help="Group of owners; for finding.")
@click.option("--description", default="", metavar="TEXT", help="What it is for.")
@label_option
@click.option("--dry-run", is_flag=True, help="Say what would change in which VM, change nothing.")
@click.option("--unstored", is_flag=True, help="Only send, to guests that listen now: for a broker without JetStream.")
@fan_out_options
def command(**options: Any) -> None:
    """
    Create or replace a share, and fan it out.

    \b
    SRC is one of
      name:path                          a remote of the catalog (weft remote), or of your rclone.conf
      :s3,provider=Minio,endpoint="http://…":bucket/path
      cubefs://owner@m1:17010,m2:17010/volume/subdir
      nfs://server/export    virtiofs:TAG    9p:TAG    bind:/dir

    Without --from, a share of the catalog keeps its source. FILE holds one share or many, as JSON or TOML.

    \b
    Examples:
      weft publish docs --from minio:docs --class algebra --wait
      weft publish data --from cubefs://team@10.0.0.1:17010/vol --secret cubefs.secret_key=@key --vm vm-7
      weft publish tools --from :sftp,host=files,user=weft:tools --secret rclone.config.pass=env:SFTP_PASS \\
           --set rclone.options.vfs-cache-mode=full --at /srv/tools --readonly --class algebra
      weft publish shares.toml --class algebra --wait=2m
      weft publish docs --class physics            one more class
      weft publish docs --from minio:docs-v2 --canary 1 --wave 10% --wave 50% --max-failed 5 --wait
      weft publish exam --from minio:exam --class algebra --expires 2h
    """
    pacing = pacing_of(options)
    options["sets"] = (*options["sets"], *expiry_sets(options["expires"]))
    prepared = prepare(Wanted(**{key: options[key] for key in _WANTED}))
    for warning in prepared.warnings:
        tell(f"warning: {warning}")
    if options["unstored"]:
        _send_unstored(prepared, options["vms"], options["classes"])
        return

    async def work(plane: ControlPlane, assume_yes: bool, on_progress: OnProgress) -> FanOut:
        found = await prepared.shares(plane)
        _tell(found)
        return await plane.publish(
            found.shares,
            **{key: options[key] for key in ("classes", "vms", "except_vms", "only", "disabled", "owner", "tenant")},
            description=options["description"],
            labels=options["labels"] or None,
            remote=found.remote,
            pacing=pacing,
            dry_run=options["dry_run"],
            assume_yes=assume_yes,
            on_progress=on_progress,
        )

    if options["dry_run"] and options["output"] == "table":
        _show(prepared)
    names = ", ".join(base["id"] for base in prepared.bases)
    run_fan_out(
        work,
        Manner(
            f"{'would publish' if options['dry_run'] else 'published'} {names}",
            options["output"],
            options["wait"] and pacing is None,
            options["timeout_s"],
            options["assume_yes"],
            options["dry_run"],
        ),
    )
    if pacing is not None and not options["dry_run"]:
        ids = [base["id"] for base in prepared.bases]
        if options["wait"]:
            follow_rollouts(ids, timeout_s=explicit_timeout_s(options["timeout_s"]))
        else:
            tell_rollouts(ids)


def _tell(found: Found) -> None:
    """Say where the source was found, and what to know about it."""
    if found.told:
        say(found.told)
    for warning in found.warnings:
        tell(f"warning: {warning}")


def _show(prepared: Prepared) -> None:
    """Print what would be published, secrets replaced."""
    if not prepared.is_complete:
        return
    from controlplane.cli.output import format_fields
    from weft.wire.share import redacted_share

    for share in prepared.shares_without_catalog():
        show_block(format_fields(redacted_share(share)), end="\n\n")


def _send_unstored(prepared: Prepared, vms: tuple[str, ...], classes: tuple[str, ...]) -> None:
    if not vms or classes or prepared.needs_catalog:
        raise click.UsageError(
            "--unstored needs --vm and --from (or a file): without a store there are no classes and no catalog",
            ctx=click.get_current_context(),
        )
    shares = prepared.shares_without_catalog()

    async def work(plane: ControlPlane) -> None:
        for share in shares:
            await plane.publish_unstored(share, vms)

    with_plane(work)
    names = ", ".join(share.id for share in shares)
    say(f"sent {names} to {len(vms)} VMs, not stored: only guests that listened have it, until they restart")
