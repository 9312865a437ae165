"""Forgetting VMs: a reused id inherits nothing, and nobody is forgotten by mistake."""

from __future__ import annotations

import pytest

from controlplane import ControlPlane
from controlplane.jetstream import read_subjects
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import stored_set, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import CatalogError, UnknownNameError

pytestmark = pytest.mark.integration


async def test_a_forgotten_vm_leaves_no_trace(broker: Broker, plane: ControlPlane) -> None:
    """Classes, targets, exceptions, list and reports; the others keep all theirs."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"], vms=["vm-1"])
    async with Guests(broker.url):
        fan_out = await plane.publish(share("b"), classes=["algebra"], except_vms=["vm-1"])
        await plane.wait(fan_out, timeout_s=20)
    forgotten = await plane.forget(["vm-1"], assume_yes=True)
    assert forgotten.vms == ("vm-1",)
    assert await plane.members("algebra") == ("vm-0", "vm-2")
    assert (await plane.share("a")).targets.vms == ()
    assert (await plane.share("b")).targets.excepted == ()
    assert set(await stored_sets(broker)) == {"vm-0", "vm-2"}
    assert "weft.status.vm-1" not in await read_subjects(plane.link, "weft-status", "weft.status.*")
    assert [view.vm for view in await plane.vms()] == ["vm-0", "vm-2"]
    assert set((await plane.sync()).unchanged) == {"vm-0", "vm-2"}
    with pytest.raises(UnknownNameError, match="VM 'vm-1'"):
        await plane.forget(["vm-1"])


async def test_a_reused_id_inherits_nothing(broker: Broker, plane: ControlPlane) -> None:
    """It joins like any other, with a list of its own."""
    await plane.publish(share("private"), vms=["vm-1"])
    await plane.forget(["vm-1"])
    assert await stored_set(broker, "vm-1") is None
    await plane.publish(share("a"), vms=["vm-1"])
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert [item.id for item in message.shares] == ["a"]


async def test_a_vm_that_still_reports_is_not_forgotten_unasked(broker: Broker, plane: ControlPlane) -> None:
    """It would keep its shares and come back."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=["vm-1"]), timeout_s=20)
        with pytest.raises(CatalogError, match=r"vm-1 unasked.*--yes"):
            await plane.forget(["vm-1"])
    assert await plane.targets("a") == ("vm-1",)


async def test_the_silent_are_found_by_the_brokers_clock(broker: Broker, plane: ControlPlane) -> None:
    """Whoever never reported may be about to, and is not among them."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=names(2)), timeout_s=20)
    await plane.publish(share("a"), vms=["new"])
    assert await plane.stale_vms(0.0) == ("vm-0", "vm-1")
    assert await plane.stale_vms(3600.0) == ()


async def test_members_of_a_roster_elsewhere_are_warned_about(broker: Broker) -> None:
    """It is not ours to change."""

    class Directory:
        async def classes(self) -> list[str]:
            return ["algebra"]

        async def members(self, name: str) -> list[str]:
            return ["vm-1"]

    async with ControlPlane.connect(broker.url, roster=Directory()) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
        (warning,) = (await plane.forget(["vm-1"])).warnings
    assert "vm-1 is in class 'algebra'" in warning
