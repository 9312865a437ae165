"""Three brokers, streams of three replicas: answers come from elsewhere, copies lag, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.results import FanOut
from tests.integration.plane.test_publish import names
from tests.parts.cluster import BrokerCluster, frozen
from tests.unit.controlplane.makers import share
from weft.errors import BrokerError, CatalogConflictError

pytestmark = pytest.mark.integration


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[BrokerCluster]:
    """Three brokers, with every stream on all of them."""
    async with BrokerCluster(tmp_path) as running:
        yield running


async def test_two_publishers_on_different_nodes_lose_nothing(cluster: BrokerCluster) -> None:
    """Whatever replica each of them reads, both changes end up in every list, and a sync finds nothing to mend."""
    first, second, _ = cluster.nodes
    async with ControlPlane.connect(first.url) as left, ControlPlane.connect(second.url) as right:
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


async def test_a_lost_node_stops_publishing_only_until_another_leads(cluster: BrokerCluster) -> None:
    """Meanwhile a publish fails or says what is unknown; repeating it finishes the job."""
    first, _, third = cluster.nodes
    async with ControlPlane.connect(first.url) as plane:
        await plane.publish(share("a"), vms=names(100))
        await third.kill()
        is_complete = False
        found = None
        async with asyncio.timeout(60):
            while found is None:
                # Each stream elects a leader of its own, so one may answer while another is still silent.
                with contextlib.suppress(BrokerError):
                    is_complete = is_complete or (await plane.publish(share("a", priority=1))).is_complete
                    found = await plane.sync() if is_complete else None
    assert len(found.unchanged) == 100


async def test_a_publisher_on_a_node_that_missed_everything_takes_nothing_away(cluster: BrokerCluster) -> None:
    """It was held still while others published; what it publishes the moment it goes on has all of their changes."""
    async with ControlPlane.connect(cluster.nodes[0].url) as plane:
        stale, other = await cluster.followers_of(plane, "KV_weft-catalog")
    leading = next(node for node in cluster.nodes if node not in (stale, other))
    async with ControlPlane.connect(leading.url) as plane, ControlPlane.connect(stale.url) as late:
        await plane.create_class("all")
        await plane.add_members("all", names(300))
        await plane.publish(share("a"), classes=["all"])
        for number in range(3):
            with frozen(stale):
                await _insist(plane, f"b{number}")
                await plane.add_members("all", [f"late-{number}"])
            fan_out = await _insist(late, f"c{number}")
            assert f"late-{number}" in fan_out.vms
        found = await plane.sync()
        compared = await late.diff()
    assert dict(found.stored) == {}
    assert all(len(expected) == 7 for expected in found.expected.values())
    assert {item.side for item in compared.differences} <= {"guest"}


async def _insist(plane: ControlPlane, share_id: str) -> FanOut:
    """Publish until it is complete: with a node held still, another may have to become leader first."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(BrokerError, CatalogConflictError):
                fan_out = await plane.publish(share(share_id), classes=["all"])
                if fan_out.is_complete:
                    return fan_out


async def test_operators_on_two_nodes_change_one_catalog(cluster: BrokerCluster) -> None:
    """Members, fields and ends made at once from stale copies all count; losers of one share are told."""
    first, second, _ = cluster.nodes
    async with ControlPlane.connect(first.url, operator="ada") as ada, ControlPlane.connect(second.url) as bob:
        await ada.create_class("all")
        await ada.publish([share("a"), share("b")], classes=["all"])
        lost = 0
        for number in range(5):
            joined, left = [f"x-{number}"], [f"y-{number}"]
            results = await asyncio.gather(
                ada.add_members("all", joined),
                bob.add_members("all", left),
                ada.update("a", {"priority": number + 1}),
                bob.update("a", {"uid": number + 1}),
                return_exceptions=True,
            )
            assert not [item for item in results[:2] if isinstance(item, BaseException)]
            told = [item for item in results[2:] if isinstance(item, CatalogConflictError)]
            assert len(told) < 2, "both were told that the other won"
            lost += len(told)
        editions = await bob.history("a")
        members = await bob.members("all")
        found = await ada.sync()
    assert len(editions) == 1 + 10 - lost
    assert len(members) == 10
    assert dict(found.stored) == {}
