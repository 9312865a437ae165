"""The embedded broker is a real nats-server, started and ended in order."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from controlplane.broker import EmbeddedBroker
from tests.parts.processes import wait_until_ended
from weft.errors import BrokerError, BrokerUnreachableError
from weft.link import Link, LinkOptions

pytestmark = pytest.mark.integration


async def test_it_answers_with_jetstream_and_ends(tmp_path: Path) -> None:
    """Started means that it greets; stopped means that the process is gone; twice is the same as once."""
    broker = EmbeddedBroker(tmp_path / "store")
    async with broker:
        await broker.start()
        pid = broker.pid
        async with Link(LinkOptions(servers=(broker.url,))) as link:
            assert link.has_jetstream
            assert link.max_payload == 8 * 1024 * 1024

    await broker.stop()
    await wait_until_ended(pid)
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.pid


async def test_its_streams_outlive_it(tmp_path: Path) -> None:
    """The same store holds the same streams after a restart."""
    for attempt in ("made", "found"):
        async with EmbeddedBroker(tmp_path) as broker, Link(LinkOptions(servers=(broker.url,))) as link:
            if attempt == "made":
                await link.js.add_stream(name="kept", subjects=["kept.>"])
            assert (await link.js.stream_info("kept")).config.name == "kept"


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """What the server complained about stands in the error, and nothing keeps running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = EmbeddedBroker(tmp_path, port=port)
        with pytest.raises(BrokerUnreachableError, match="address already in use"):
            await broker.start()
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.pid


async def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    """A configuration that the server refuses ends the start at once."""
    (tmp_path / "nats.conf").write_text("jetstream {")

    with pytest.raises(BrokerUnreachableError, match="cannot start the broker"):
        await EmbeddedBroker(tmp_path / "store", config=tmp_path / "nats.conf").start()
