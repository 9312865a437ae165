"""Things that are missing: none of them may take shares away."""

from __future__ import annotations

import asyncio

import nats
import pytest

from controlplane import ControlPlane
from controlplane.results import Progress
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import stored_set, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import CatalogBehindError, ConfirmationNeededError, StreamMissingError

pytestmark = pytest.mark.integration


async def delete_stream(broker: Broker, name: str) -> None:
    nc = await nats.connect(broker.url)
    await nc.jetstream().delete_stream(name)
    await nc.close()


async def test_a_catalog_made_again_empty_is_refused(broker: Broker, plane: ControlPlane) -> None:
    """The stream names another catalog, so an empty one does not unmount a class."""
    await plane.publish(share("a"), vms=names(5))
    await delete_stream(broker, "KV_weft-catalog")
    with pytest.raises(StreamMissingError, match="weft init"):
        await plane.shares()
    await plane.init()
    for command in (plane.sync(), plane.sync(assume_yes=True), plane.publish(share("b"), vms=["vm-1"])):
        with pytest.raises(CatalogBehindError, match=r"weft import.*weft recover"):
            await command
    assert all([item.id for item in message.shares] == ["a"] for message in (await stored_sets(broker)).values())
    assert await plane.shares() == []


async def test_sync_restores_a_deleted_stream(broker: Broker, plane: ControlPlane) -> None:
    """Every VM has its list again, with a higher revision than the one it holds."""
    async with Guests(broker.url):
        first = await plane.publish(share("a"), vms=names(20))
        assert (await plane.wait(first, timeout_s=20)).is_converged
        await delete_stream(broker, "weft-mounts")
        await plane.init()
        again = await plane.sync()
        assert (await plane.wait(again, timeout_s=20)).is_converged
    held = await stored_sets(broker)
    assert set(again.stored) == set(names(20))
    assert all(held[vm].revision > first.stored[vm] for vm in again.stored)


async def test_sync_changes_nothing_where_nothing_differs(broker: Broker, plane: ControlPlane) -> None:
    """Each VM is looked at and left alone."""
    await plane.publish(share("a"), vms=names(3))
    fan_out = await plane.sync()
    assert (set(fan_out.unchanged), dict(fan_out.stored)) == (set(names(3)), {})


async def test_losing_stream_and_catalog_together_asks_before_unmounting(broker: Broker, plane: ControlPlane) -> None:
    """What the guests report is what they would lose."""
    async with Guests(broker.url):
        first = await plane.publish(share("a"), vms=names(5))
        assert (await plane.wait(first, timeout_s=20)).is_converged
    await delete_stream(broker, "weft-mounts")
    await delete_stream(broker, "KV_weft-catalog")
    await plane.init()
    with pytest.raises(ConfirmationNeededError) as caught:
        await plane.sync()
    assert caught.value.share_ids == ("a",)
    assert await stored_sets(broker) == {}


async def test_a_class_set_to_a_wrong_list_asks_first(broker: Broker, plane: ControlPlane) -> None:
    """Nothing is written, neither members nor messages."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(10))
    await plane.publish(share("a"), classes=["algebra"])
    with pytest.raises(ConfirmationNeededError):
        await plane.set_members("algebra", ["vm-1"])
    assert len(await plane.members("algebra")) == 10
    fan_out = await plane.set_members("algebra", ["vm-1"], assume_yes=True)
    assert len(fan_out.stored) == 9
    assert await plane.members("algebra") == ("vm-1",)


async def test_a_broker_killed_in_the_middle_leaves_an_exact_result(broker: Broker) -> None:
    """Stored is really stored, everything else is unknown or failed, and running it again finishes."""
    vms = [f"vm-{number:05}" for number in range(10_000)]
    padding = {"note": "x" * 400}
    async with ControlPlane.connect(broker.url) as plane:
        await plane.init()
        kill: list[asyncio.Task[None]] = []

        def kill_in_the_middle(progress: Progress) -> None:
            if progress.phase == "publish" and progress.done >= 1000 and not kill:
                kill.append(asyncio.create_task(broker.kill()))

        fan_out = await plane.publish(share("a", extra=padding), vms=vms, on_progress=kill_in_the_middle)
        await kill[0]
    await broker.start()
    held = await stored_sets(broker)
    assert not fan_out.is_complete
    assert len(fan_out.vms) == 10_000
    assert fan_out.unknown
    assert all(held[vm].revision == revision for vm, revision in fan_out.stored.items())
    assert not held.keys() & fan_out.failed.keys()
    async with ControlPlane.connect(broker.url) as plane:
        again = await plane.publish(share("a", extra=padding), vms=vms)
    assert again.is_complete
    assert set(again.unchanged) == set(held)
    assert len(await stored_sets(broker)) == 10_000


async def test_a_purged_subject_is_published_again(broker: Broker, plane: ControlPlane) -> None:
    """After a purge the expected sequence is zero, and the revision still grows."""
    first = await plane.publish(share("a"), vms=["vm-1"])
    nc = await nats.connect(broker.url)
    await nc.jetstream().purge_stream("weft-mounts", subject="weft.mounts.vm-1")
    await nc.close()
    await plane.sync()
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert message.revision > first.stored["vm-1"]  # type: ignore[index]
