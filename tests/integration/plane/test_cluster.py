"""Three brokers, streams of three replicas: answers come from elsewhere, copies lag, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane import ControlPlane
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import BrokerError

pytestmark = pytest.mark.integration


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[list[Broker]]:
    """Three brokers that know each other, with every stream on all of them."""
    ports = free_ports(3)
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    brokers = [
        Broker(
            tmp_path / f"node-{port}",
            config=f"server_name: node-{port}\ncluster {{ name: c, listen: 127.0.0.1:{port}, routes: [{routes}] }}",
        )
        for port in ports
    ]
    async with contextlib.AsyncExitStack() as stack:
        await asyncio.gather(*(stack.enter_async_context(broker) for broker in brokers))
        await ready(brokers[0])
        yield brokers


async def ready(broker: Broker) -> None:
    """Wait until the cluster has a leader and made the streams."""
    async with asyncio.timeout(90), ControlPlane.connect(broker.url) as plane:
        while True:
            with contextlib.suppress(BrokerError):
                await plane.init(replicas=3)
                await plane.shares()
                return


async def test_two_publishers_on_different_nodes_lose_nothing(cluster: list[Broker]) -> None:
    """Whatever replica each of them reads, both changes end up in every list, and a sync finds nothing to mend."""
    async with ControlPlane.connect(cluster[0].url) as left, ControlPlane.connect(cluster[1].url) as right:
        await left.create_class("all")
        await left.add_members("all", names(1000))
        for priority in range(3):
            mine, theirs = await asyncio.gather(
                left.publish(share("left", priority=priority), classes=["all"]),
                right.publish(share("right", priority=priority), classes=["all"]),
            )
            assert mine.is_complete
            assert theirs.is_complete
        found = await right.sync()
    assert (len(found.unchanged), dict(found.stored)) == (1000, {})
    assert all(len(expected) == 2 for expected in found.expected.values())


async def test_a_lost_node_stops_publishing_only_until_another_leads(cluster: list[Broker]) -> None:
    """Meanwhile a publish fails or says what is unknown; repeating it finishes the job."""
    async with ControlPlane.connect(cluster[0].url) as plane:
        await plane.publish(share("a"), vms=names(100))
        await cluster[2].kill()
        is_complete = False
        async with asyncio.timeout(60):
            while not is_complete:
                with contextlib.suppress(BrokerError):
                    is_complete = (await plane.publish(share("a", priority=1))).is_complete
        found = await plane.sync()
    assert len(found.unchanged) == 100
