"""A link over a caller's own client: everything works, and the client stays the caller's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.parts.broker import Broker
from weft.errors import BrokerUnreachableError
from weft.link import Link, LinkState

pytestmark = pytest.mark.integration
PATIENCE_S = 20.0


@pytest.fixture
async def nc(plain_broker: Broker) -> AsyncIterator[Client]:
    """A caller's client that reconnects quickly."""
    client = await nats.connect(plain_broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    yield client
    await client.close()


async def test_borrowed_client_serves_and_is_not_closed(nc: Client) -> None:
    """Closing the link takes its subscriptions back and leaves the client open."""
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(msg: Msg) -> None:
        received.put_nowait(msg.data)

    link = Link.over(nc)
    async with asyncio.timeout(PATIENCE_S), link:
        assert link.state is LinkState.CONNECTED
        assert link.nc is nc
        await link.subscribe("a", keep)
        await link.publish("a", b"1")
        assert await received.get() == b"1"
    assert link.state is LinkState.CLOSED
    assert nc.is_connected
    await nc.publish("a", b"2")
    await nc.flush()
    assert received.empty()


async def test_reconnects_of_a_borrowed_client_are_announced(plain_broker: Broker) -> None:
    """The link hears them, the caller's own callbacks still do, and get everything back at the end."""
    turns: asyncio.Queue[str] = asyncio.Queue()

    async def callers_own() -> None:
        turns.put_nowait("caller heard")

    client = await nats.connect(
        plain_broker.url, reconnected_cb=callers_own, reconnect_time_wait=0.05, max_reconnect_attempts=-1
    )
    try:
        link = Link.over(client)
        link.on_connected(lambda: turns.put_nowait("connected"))
        link.on_disconnected(lambda: turns.put_nowait("disconnected"))
        async with asyncio.timeout(PATIENCE_S):
            await plain_broker.restart()
            seen = [await turns.get() for _ in range(3)]
        assert seen[0] == "disconnected"
        assert sorted(seen[1:]) == ["caller heard", "connected"]
        assert link.state is LinkState.CONNECTED
        await link.close()
        assert client._reconnected_cb is callers_own
    finally:
        await client.close()


async def test_callers_failing_error_callback_does_not_kill_the_client(plain_broker: Broker) -> None:
    """The library would end its read loop, staying 'connected'; under a link it goes on."""

    async def fail(exc: Exception) -> None:
        raise RuntimeError("the caller's callback is broken")

    config = 'authorization { users: [{user: u, password: p, permissions: {pub: "ok", sub: "_INBOX.>"}}] }'
    await plain_broker.restart(config=config)
    client = await nats.connect(plain_broker.url, user="u", password="p", error_cb=fail)
    try:
        async with asyncio.timeout(PATIENCE_S), Link.over(client) as link:
            await link.publish("Denied.Here", b"")
            await link.flush()
            assert link.denied_subjects == {"Denied.Here"}
    finally:
        await client.close()


async def test_closed_borrowed_client_closes_the_link(nc: Client) -> None:
    """There will be no other connection, and the link says so."""
    link = Link.over(nc)
    await nc.close()
    assert link.state is LinkState.CLOSED
    assert "closed" in (link.problem or "")
    with pytest.raises(BrokerUnreachableError):
        await link.publish("a", b"")
    await link.close()
