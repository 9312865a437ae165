"""``weft init``: create, verify or upgrade what the control plane keeps in the broker."""

from __future__ import annotations

import click

from controlplane.cli.command import command as weft_command
from controlplane.cli.session import say, with_plane


@weft_command("init")
@click.option("--replicas", type=click.IntRange(1, 5), default=1, help="Copies in a cluster [1].")
def command(replicas: int) -> None:
    """
    Create, verify or upgrade streams and catalog.

    Twice is the same as once.

    \b
    Examples:
      weft init
      weft init --replicas 3 --server nats://n1:4222,nats://n2:4222
    """
    report = with_plane(lambda plane: plane.init(replicas=replicas))
    for word, names in (("created", report.created), ("upgraded", report.upgraded), ("verified", report.verified)):
        if names:
            say(f"{word}: {', '.join(names)}")
