"""``weft init``: create, verify or upgrade what the control plane keeps in the broker."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.options import Duration, Size
from controlplane.cli.session import say, with_plane


@weft_command("init")
@click.option("--replicas", type=click.IntRange(1, 5), default=1, help="Copies in a cluster [1].")
@click.option(
    "--events-age", "events_age_s", type=Duration(), metavar="TIME", help="How long events are kept, as 90d [30d]."
)
@click.option(
    "--storage",
    "storage_bytes",
    type=Size(),
    metavar="SIZE",
    help="What all streams may take together, as 8GiB [3.5GiB, less where there is less].",
)
def command(replicas: int, events_age_s: float | None, storage_bytes: int | None) -> None:
    """
    Create, verify or upgrade streams and catalog.

    Twice is the same as once. Each stream gets its part of the storage for itself, so that what
    guests report never keeps anybody from publishing.

    \b
    Examples:
      weft init
      weft init --events-age 90d
      weft init --storage 14GiB
      weft init --replicas 3 --server nats://n1:4222,nats://n2:4222
    """
    report = with_plane(
        lambda plane: plane.init(replicas=replicas, events_age_s=events_age_s, storage_bytes=storage_bytes)
    )
    for word, names in (("created", report.created), ("upgraded", report.upgraded), ("verified", report.verified)):
        if names:
            say(f"{word}: {', '.join(names)}")
