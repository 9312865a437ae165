"""A command that changed the catalog and never reached the VMs: the same command run again finishes the job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import pytest

from controlplane import ControlPlane
from tests.integration.plane.stored import stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.parts.reporting import tell
from tests.unit.controlplane.makers import share
from weft.wire.subjects import subject

pytestmark = pytest.mark.integration


@asynccontextmanager
async def lost_fan_out(broker: Broker, vms: list[str]) -> AsyncIterator[None]:
    """Put the messages of *vms* back to what they were, as if the broker had been lost before the fan-out inside."""
    nc = await nats.connect(broker.url)
    js = nc.jetstream()
    before = {vm: (await js.get_last_msg("weft-mounts", subject(vm))).data or b"" for vm in vms}
    yield
    for vm, data in before.items():
        await js.publish(subject(vm), data)
    await nc.close()


async def having(broker: Broker, share_id: str) -> list[str]:
    """Name the VMs whose stored list has a share."""
    sets = await stored_sets(broker)
    return sorted(vm for vm, held in sets.items() if any(item.id == share_id for item in held.shares))


async def test_an_unpublish_run_again_takes_the_share_from_the_rest(broker: Broker, plane: ControlPlane) -> None:
    """The share is in the catalog no more, and still in lists."""
    await plane.publish(share("a"), vms=names(3))
    async with lost_fan_out(broker, ["vm-0", "vm-1"]):
        await plane.unpublish("a")
    assert await having(broker, "a") == ["vm-0", "vm-1"]
    again = await plane.unpublish("a")
    assert (set(again.stored), await having(broker, "a")) == ({"vm-0", "vm-1"}, [])
    assert (await plane.unpublish("a")).warnings == ("share 'a' was unpublished before",)


async def test_an_unpublish_that_was_needless_concerns_nobody_else(broker: Broker, plane: ControlPlane) -> None:
    """Whoever has the share rightly is no matter of the command."""
    await plane.publish(share("a"), vms=names(3))
    fan_out = await plane.unpublish("a", vms=["vm-9"])
    assert (fan_out.vms, fan_out.warnings) == (("vm-9",), ("vm-9 does not have share 'a'",))


async def test_an_unpublish_for_a_class_run_again_takes_it_from_the_rest(broker: Broker, plane: ControlPlane) -> None:
    """The class is no target any more, and its members still have the share."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", ["vm-0", "vm-1"])
    await plane.publish(share("a"), classes=["algebra"], vms=["vm-2"])
    async with lost_fan_out(broker, ["vm-0"]):
        await plane.unpublish("a", classes=["algebra"])
    again = await plane.unpublish("a", classes=["algebra"])
    assert (set(again.stored), await having(broker, "a")) == ({"vm-0"}, ["vm-2"])


async def test_a_disable_run_again_takes_the_share_from_the_rest(broker: Broker, plane: ControlPlane) -> None:
    """Nobody is to get it, and somebody still has it."""
    await plane.publish(share("a"), vms=names(3))
    async with lost_fan_out(broker, ["vm-1"]):
        await plane.disable("a")
    again = await plane.disable("a")
    assert (set(again.stored), await having(broker, "a")) == ({"vm-1"}, [])


async def test_a_publish_with_other_targets_run_again_reaches_those_that_were_targets(
    broker: Broker, plane: ControlPlane
) -> None:
    """Who is no target any more still has it."""
    await plane.publish(share("a"), vms=names(3))
    async with lost_fan_out(broker, ["vm-0"]):
        await plane.publish(share("a"), vms=["vm-2"], only=True)
    again = await plane.publish(share("a"), vms=["vm-2"], only=True)
    assert (set(again.stored), await having(broker, "a")) == ({"vm-0"}, ["vm-2"])


async def test_a_class_set_run_again_reaches_those_that_left(broker: Broker, plane: ControlPlane) -> None:
    """Who is no member any more still has the share."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"])
    async with lost_fan_out(broker, ["vm-0"]):
        await plane.set_members("algebra", ["vm-1", "vm-2"], assume_yes=True)
    again = await plane.set_members("algebra", ["vm-1", "vm-2"], assume_yes=True)
    assert (set(again.stored), await having(broker, "a")) == ({"vm-0"}, ["vm-1", "vm-2"])


async def test_those_who_left_a_class_long_ago_are_no_matter_of_it(broker: Broker, plane: ControlPlane) -> None:
    """They were told then, and are looked at again without being counted."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"])
    await plane.remove_members("algebra", ["vm-0"])
    assert (await plane.set_members("algebra", ["vm-1", "vm-2"])).vms == ("vm-1", "vm-2")
    assert (await plane.delete_class("algebra", with_shares=True)).vms == ("vm-1", "vm-2")


async def test_a_class_deleted_again_takes_its_shares_from_the_rest(broker: Broker, plane: ControlPlane) -> None:
    """The class is gone, and one that was in it still has the share."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"])
    async with lost_fan_out(broker, ["vm-0"]):
        await plane.delete_class("algebra", with_shares=True)
    again = await plane.delete_class("algebra", with_shares=True, assume_yes=True)
    assert (set(again.stored), await having(broker, "a")) == ({"vm-0"}, [])


async def test_ctrl_c_says_what_is_done_and_what_is_not(broker: Broker, plane: ControlPlane) -> None:
    """Nobody has to guess whether the share is stored."""
    nc = await nats.connect(broker.url)
    await tell(nc, "weft.status.vm-2", b"{}")  # nobody asks for reports where there are none
    waits = await nc.subscribe("$JS.API.DIRECT.GET.weft-status")
    await nc.flush()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from controlplane.cli import main; main()"),
        *("publish", "a", "--from", "bind:/srv/a", "--vm", "vm-1", "--wait"),
        env={**os.environ, "NATS_URL": broker.url},
        stderr=asyncio.subprocess.PIPE,
    )
    await waits.next_msg(timeout=20)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    await nc.close()
    assert process.returncode == 130
    assert b"weft: stopped waiting: everything is stored, and guests go on by themselves" in said
