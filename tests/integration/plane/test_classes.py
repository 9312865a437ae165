"""Classes that live: who joins gets what the class has, who leaves loses it, one student may be left out."""

from __future__ import annotations

import asyncio
import time

import nats
import pytest

from controlplane import ControlPlane
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import stored_set, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import ConfirmationNeededError

pytestmark = pytest.mark.integration


async def test_a_new_member_has_all_shares_of_its_class_within_a_second(broker: Broker, plane: ControlPlane) -> None:
    """From the command to the guest's report; and loses them when it leaves."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(300))
    async with Guests(broker.url):
        everybody = await plane.publish([share(f"s{n}") for n in range(10)], classes=["algebra"])
        await plane.wait(everybody, timeout_s=20)
        began_s = time.monotonic()
        joined = await plane.add_members("algebra", ["late"])
        assert (await plane.wait(joined, timeout_s=10)).is_converged
        took_s = time.monotonic() - began_s
        left = await plane.remove_members("algebra", ["late"])
        assert (await plane.wait(left, timeout_s=10)).is_converged
    assert set(joined.stored) == set(left.stored) == {"late"}
    assert took_s < 1.0
    message = await stored_set(broker, "late")
    assert message is not None
    assert message.shares == ()


async def test_ten_thousand_members_join_in_one_command(broker: Broker, plane: ControlPlane) -> None:
    """Everybody of them has the share of the class."""
    await plane.create_class("all")
    await plane.publish(share("a"), classes=["all"])
    fan_out = await plane.add_members("all", names(10_000))
    assert (len(fan_out.stored), fan_out.is_complete) == (10_000, True)
    assert len(await plane.members("all")) == 10_000


async def test_one_student_is_left_out_and_comes_back(broker: Broker, plane: ControlPlane) -> None:
    """The exception holds while the class changes around it, until the student is named again."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"], except_vms=["vm-1"])
    await plane.add_members("algebra", ["vm-9"])
    held = await stored_sets(broker)
    assert {vm for vm, message in held.items() if message.shares} == {"vm-0", "vm-2", "vm-9"}
    fan_out = await plane.publish(share("a"), vms=["vm-1"])
    assert set(fan_out.stored) == {"vm-1"}


async def test_each_student_has_a_folder_of_their_own(broker: Broker, plane: ControlPlane) -> None:
    """The VM's id stands in mount point and directory."""
    block = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "subdir": "homes/{vm}"}
    await plane.publish(share("home", mount_point="/home/{vm}", cubefs=block), vms=["vm-1", "vm-2"])
    for vm, message in (await stored_sets(broker)).items():
        (mine,) = message.shares
        assert mine.cubefs is not None
        assert (mine.mount_point, mine.cubefs.subdir) == (f"/home/{vm}", f"homes/{vm}")


async def test_changes_of_a_class_made_at_once_all_count(broker: Broker, plane: ControlPlane) -> None:
    """Whoever adds and removes meanwhile: members are entries of their own."""
    await plane.create_class("algebra")
    await plane.publish(share("a"), classes=["algebra"])
    async with ControlPlane.connect(broker.url, operator="other") as other:
        await asyncio.gather(
            plane.add_members("algebra", names(50)), other.add_members("algebra", [f"pc-{n}" for n in range(50)])
        )
    assert len(await plane.members("algebra")) == 100
    assert len(await stored_sets(broker)) == 100


async def test_what_the_catalog_lost_is_not_taken_away_unasked(broker: Broker, plane: ControlPlane) -> None:
    """A record that vanished is named nowhere in the next command, so it asks; nothing is written until then."""
    await plane.publish([share("a"), share("b")], vms=names(5))
    nc = await nats.connect(broker.url)
    await (await nc.jetstream().key_value("weft-catalog")).delete("share.b")
    await nc.close()
    for command in (plane.update("a", {"priority": 1}), plane.disable("a"), plane.refresh("a"), plane.sync()):
        with pytest.raises(ConfirmationNeededError, match=r"\(b\)"):
            await command
    assert (await plane.share("a")).share.priority == 0
    assert {item.id for item in (await stored_sets(broker))["vm-2"].shares} == {"a", "b"}
