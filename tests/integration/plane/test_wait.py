"""The closed loop: waiting for what guests report, and seeing them."""

from __future__ import annotations

import asyncio

import nats
import pytest
from nats.aio.client import Client

from controlplane import ControlPlane
from controlplane.results import Progress
from tests.integration.plane.guests import Guests, mounted
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.parts.reporting import tell
from tests.unit.controlplane.makers import share
from weft.errors import ErrorCode, UnknownNameError
from weft.wire.share import ShareMount
from weft.wire.status import AgentInfo, ShareError, ShareState, ShareStatus, VmStatus, encode_status

pytestmark = pytest.mark.integration


def one_fails(vm: str, item: ShareMount) -> ShareStatus:
    if vm != "vm-3":
        return mounted(vm, item)
    error = ShareError(code=ErrorCode.AUTH, message="cannot mount share 'a': the key is refused")
    return ShareStatus(id=item.id, state=ShareState.FAILED, error=error)


async def test_wait_ends_when_every_guest_has_it(broker: Broker, plane: ControlPlane) -> None:
    """Progress grows to everybody, and nobody is left."""
    seen: list[Progress] = []
    async with Guests(broker.url):
        fan_out = await plane.publish(share("a"), vms=names(500))
        outcome = await plane.wait(fan_out, timeout_s=30, on_progress=seen.append)
    assert outcome.is_converged
    assert len(outcome.converged) == 500
    assert seen[-1] == Progress("wait", 500, 500)


async def test_wait_ends_early_when_only_failures_are_left(broker: Broker, plane: ControlPlane) -> None:
    """A final failure is named with the guest's reason; nobody waits for the timeout."""
    async with Guests(broker.url, judge=one_fails):
        fan_out = await plane.publish(share("a"), vms=names(5))
        async with asyncio.timeout(20):
            outcome = await plane.wait(fan_out, timeout_s=600)
    assert list(outcome.failed) == ["vm-3"]
    problem = outcome.failed["vm-3"]  # type: ignore[index]
    assert (problem.share_id, problem.state, problem.code) == ("a", ShareState.FAILED, ErrorCode.AUTH)
    assert "key is refused" in problem.message


async def test_wait_names_whoever_is_silent(broker: Broker, plane: ControlPlane) -> None:
    """Not converging in time is an outcome."""
    async with Guests(broker.url, silent=["vm-1"]):
        fan_out = await plane.publish(share("a"), vms=names(3))
        outcome = await plane.wait(fan_out, timeout_s=1)
    assert list(outcome.waiting) == ["vm-1"]
    assert outcome.waiting["vm-1"].message == "has never reported"  # type: ignore[index]


async def test_wait_for_a_share_by_its_id(broker: Broker, plane: ControlPlane) -> None:
    """Later, and for a part of its VMs, the same question can be asked without the fan-out."""
    async with Guests(broker.url, silent=["vm-2"]):
        await plane.wait(await plane.publish(share("a"), vms=names(3)), vms=["vm-0", "vm-1"], timeout_s=20)
        assert (await plane.wait("a", vms=["vm-0", "vm-1"], timeout_s=20)).is_converged
        assert not (await plane.wait("a", timeout_s=0.5)).is_converged
    with pytest.raises(UnknownNameError):
        await plane.wait("b")


async def test_wait_for_an_unpublish(broker: Broker, plane: ControlPlane) -> None:
    """Converged means that nobody has the share any more."""
    async with Guests(broker.url):
        await plane.publish(share("a"), vms=names(3))
        outcome = await plane.wait(await plane.unpublish("a"), timeout_s=20)
    assert outcome.converged == ("vm-0", "vm-1", "vm-2")


async def test_wait_survives_a_restart_of_the_broker(broker: Broker, plane: ControlPlane) -> None:
    """What was reported while nobody could listen is read afterwards."""
    fan_out = await plane.publish(share("a"), vms=["vm-1"])
    waiting = asyncio.create_task(plane.wait(fan_out, timeout_s=40))
    await broker.restart()
    nc = await nats.connect(broker.url)
    status = VmStatus(
        vm="vm-1",
        held_revision=fan_out.stored["vm-1"],  # type: ignore[index]
        shares=(mounted("vm-1", share("a")),),
    )
    await tell(nc, "weft.status.vm-1", encode_status(status))
    await nc.close()
    assert (await waiting).is_converged


async def test_vms_are_known_from_everywhere(broker: Broker, plane: ControlPlane) -> None:
    """Members, targets, stored state and reports; each with what is known."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", ["member"])
    await plane.publish(share("a"), vms=["target"])
    nc = await nats.connect(broker.url)
    status = VmStatus(vm="stranger", boot_id="b", heartbeat_s=10, agent=AgentInfo(version="9.9"))
    await tell(nc, "weft.status.stranger", encode_status(status))
    await nc.close()
    member, stranger, target = await plane.vms()
    assert (member.vm, member.classes, member.status, member.problem) == (
        "member",
        ("algebra",),
        None,
        "has never reported",
    )
    assert (stranger.vm, stranger.agent_version, stranger.is_stale, stranger.stored_revision) == (
        "stranger",
        "9.9",
        False,
        None,
    )
    assert stranger.reported_age_s is not None
    assert (target.vm, target.stored_revision is not None) == ("target", True)


async def test_two_guests_with_one_id_are_seen(broker: Broker, plane: ControlPlane) -> None:
    """Their boot ids take turns, which no reboot does."""
    nc = await nats.connect(broker.url)
    for boot_id in ("one", "two", "one"):
        await tell(nc, "weft.status.vm-1", encode_status(VmStatus(vm="vm-1", boot_id=boot_id)))
    await nc.close()
    (view,) = await plane.status(["vm-1"])
    assert view.is_claimed_twice
    assert view.problem == "two guests claim vm-1: boot ids one, two"


async def test_two_guests_with_one_id_end_a_wait_with_their_names(broker: Broker, plane: ControlPlane) -> None:
    """They have taken turns all along; that one has the share says nothing about the other."""
    nc = await nats.connect(broker.url)
    for boot_id in ("one", "two", "one"):
        await report(nc, "vm-1", 0, boot_id)
    fan_out = await plane.publish(share("a"), vms=["vm-1", "vm-2"])
    seen = asyncio.Event()
    waiting = asyncio.create_task(plane.wait(fan_out, timeout_s=600, on_progress=lambda progress: seen.set()))
    async with asyncio.timeout(20):
        await seen.wait()
        await report(nc, "vm-2", fan_out.stored["vm-2"], "other")  # type: ignore[index]
        await report(nc, "vm-1", fan_out.stored["vm-1"], "two")  # type: ignore[index]
        await waiting
    await nc.close()
    outcome = await waiting
    assert outcome.converged == ("vm-2",)
    problem = outcome.failed["vm-1"]  # type: ignore[index]
    assert (problem.code, problem.message) == (ErrorCode.CONFLICT, "two guests claim vm-1: boot ids one, two")


async def test_a_reboot_in_the_middle_of_a_wait_is_no_second_guest(broker: Broker, plane: ControlPlane) -> None:
    """A boot id that does not come back is the same guest, later."""
    nc = await nats.connect(broker.url)
    await report(nc, "vm-1", 0, "one")
    fan_out = await plane.publish(share("a"), vms=["vm-1"])
    seen = asyncio.Event()
    waiting = asyncio.create_task(plane.wait(fan_out, timeout_s=600, on_progress=lambda progress: seen.set()))
    async with asyncio.timeout(20):
        await seen.wait()
        await report(nc, "vm-1", fan_out.stored["vm-1"], "two")  # type: ignore[index]
        outcome = await waiting
    await nc.close()
    assert outcome.is_converged


async def report(nc: Client, vm: str, revision: int, boot_id: str) -> None:
    status = VmStatus(vm=vm, boot_id=boot_id, held_revision=revision, shares=(mounted(vm, share("a")),))
    await tell(nc, f"weft.status.{vm}", encode_status(status))


async def test_a_vm_that_never_reported_is_warned_about(broker: Broker, plane: ControlPlane) -> None:
    """A misspelt id is stored all the same, with the nearest known one in the warning."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=["student-7"]), timeout_s=20)
        fan_out = await plane.publish(share("b"), vms=["student-7", "studnet-7"])
    assert fan_out.warnings == ("studnet-7 has never reported (did you mean student-7?)",)
