"""One guest's Subscriber that says when each share was applied; beside it, the least any subscriber could do."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from nats.aio.msg import Msg

from agent import Subscriber
from bench.children import say, standard_input
from weft.link import Link, LinkOptions
from weft.logs import configure_logs
from weft.wire.ids import parse_vm_id
from weft.wire.share import ShareMount
from weft.wire.subjects import live_subject


async def main(url: str, vm: str, floor_vm: str) -> None:
    """
    Apply until standard input ends.

    Args:
        url: The broker.
        vm: Whose shares are applied; the line said for each has the volume and the monotonic clock.
        floor_vm: Whose live messages are only received; the line has their size and the clock.
    """

    async def apply(share: ShareMount) -> None:
        now_ns = time.monotonic_ns()
        say(f"{share.cubefs.volume if share.cubefs else ''} {now_ns}")

    async def receive(msg: Msg) -> None:
        now_ns = time.monotonic_ns()
        say(f"{len(msg.data)} {now_ns}")

    async with Link(LinkOptions(servers=(url,))) as link, Subscriber(link, vm, apply):
        await link.nc.subscribe(live_subject(parse_vm_id(floor_vm)), cb=receive)
        await link.flush()
        say("ready")
        await (await standard_input()).read()


if __name__ == "__main__":
    with open(os.devnull, "w") as nowhere:
        configure_logs(stream=nowhere)  # as much as an agent writes, which is part of the time
        asyncio.run(main(*sys.argv[1:]))
