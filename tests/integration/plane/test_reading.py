"""Reading a stream while others remove from it."""

from __future__ import annotations

import asyncio

import nats
import pytest

from controlplane import ControlPlane
from controlplane.consumer import consume
from tests.parts.broker import Broker
from tests.parts.reporting import tell

pytestmark = pytest.mark.integration

VMS = 60
SIZE = 900_000


async def test_a_reading_ends_though_the_rest_was_removed_meanwhile(broker: Broker, plane: ControlPlane) -> None:
    """The last message that was promised will never come."""
    nc = await nats.connect(broker.url)
    js = nc.jetstream()
    for number in range(VMS):
        await tell(nc, f"weft.status.vm-{number}", b"x" * SIZE)
    reading = consume(plane.link, "weft-status", "weft.status.*", {"deliver_policy": "all"})
    async with asyncio.timeout(30):
        first = await anext(reading)
        # Nobody answers the server's flow control while we do not read on, so it holds the others back.
        for number in range(1, VMS):
            await js.purge_stream("weft-status", subject=f"weft.status.vm-{number}")
        seen = [first.subject, *[message.subject async for message in reading]]
    await nc.close()
    assert seen[0] == "weft.status.vm-0"
    assert len(seen) < VMS
