"""Rollouts on a real broker with guests that obey and report: waves, failures, and everything that comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from controlplane import ControlPlane
from controlplane.records import RolloutState
from controlplane.rollout import Pacing, place
from controlplane.rollout_standing import RolloutStanding
from tests.integration.plane.guests import Guests, Judge, mounted
from tests.integration.plane.stored import count_stored, stored_sets
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import CatalogError, ErrorCode, UnknownNameError
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareError, ShareState, ShareStatus

pytestmark = pytest.mark.integration

CLASS = [f"vm-{number}" for number in range(20)]
ORDER = sorted(CLASS, key=lambda vm: place(ShareId("a"), VmId(vm)))
OLD = share("a", readonly=True)
NEW = share("a")
DEADLINE_S = 30.0


def failing(vms: Iterable[str]) -> Judge:
    """Make guests of which *vms* cannot mount the new edition."""
    bad = frozenset(vms)

    def judge(vm: str, item: ShareMount) -> ShareStatus:
        if vm not in bad or item.readonly:
            return mounted(vm, item)
        error = ShareError(code=ErrorCode.AUTH, message="cannot mount share 'a': the key is refused")
        return ShareStatus(id=item.id, state=ShareState.FAILED, error=error)

    return judge


@pytest.fixture
async def class_of_20(plane: ControlPlane) -> ControlPlane:
    """A class of which everybody has the old edition."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", CLASS)
    await plane.publish(OLD, classes=["algebra"])
    return plane


async def with_new(broker: Broker) -> set[str]:
    """Name the VMs that were sent the new edition."""
    sets = await stored_sets(broker)
    return {vm for vm, message in sets.items() if [item.readonly for item in message.shares] == [False]}


async def driven(plane: ControlPlane, share_id: str = "a") -> tuple[RolloutStanding, list[str]]:
    """Drive a rollout to its end, and return how far it was at each moment."""
    steps: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        end = await plane.drive_rollout(share_id, on_standing=lambda standing: steps.append(standing.outline))
    return end, list(dict.fromkeys(steps))


async def test_waves_follow_each_other_as_guests_converge(broker: Broker, class_of_20: ControlPlane) -> None:
    """The canary, ten percent, half, everybody: each once those before have it."""
    async with Guests(broker.url):
        fan_out = await class_of_20.publish(NEW, pacing=Pacing(waves=(10, 50), canary=1))
        assert set(fan_out.stored) == set(ORDER[:1])
        end, steps = await driven(class_of_20)
    assert end.rollout.state is RolloutState.DONE
    assert steps == [
        "running at canary 1",
        "running at wave 1 of 3 (10%)",
        "running at wave 2 of 3 (50%)",
        "running at wave 3 of 3 (100%)",
        "done",
    ]
    assert await with_new(broker) == set(CLASS)
    assert (await class_of_20.rollouts(), (await class_of_20.share("a")).editions) == (
        [],
        (await class_of_20.share("a"),),
    )


async def test_a_failed_canary_stops_it_and_undo_restores(broker: Broker, class_of_20: ControlPlane) -> None:
    """One VM had trouble, everybody else noticed nothing, and afterwards it has what it had."""
    async with Guests(broker.url, judge=failing(ORDER[:1])):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10,), canary=1, max_failed=5))
        end, _ = await driven(class_of_20)
        assert (end.rollout.state, end.reason) == (RolloutState.STOPPED, "1 of 1 VMs failed, and 0 may")
        assert "key is refused" in end.problems[VmId(ORDER[0])].message
        assert await with_new(broker) == {ORDER[0]}
        stored = await count_stored(broker)
        undone = await class_of_20.undo_rollout("a")
        assert (await class_of_20.wait(undone, vms=ORDER[:1], timeout_s=DEADLINE_S)).is_converged
    assert await count_stored(broker) == stored + 1
    assert await with_new(broker) == set()
    assert (await class_of_20.share("a")).rollout is None


async def test_too_many_failures_in_a_wave_stop_it(broker: Broker, class_of_20: ControlPlane) -> None:
    """Fewer do not; a higher limit lets it go on."""
    async with Guests(broker.url, judge=failing(ORDER[1:4])):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10, 30), max_failed=1))
        end, _ = await driven(class_of_20)
        assert (end.rollout.state, end.step) == (RolloutState.STOPPED, "wave 2 of 3 (30%)")
        assert await with_new(broker) == set(ORDER[:6])
        await class_of_20.resume_rollout("a", max_failed=3)
        end, _ = await driven(class_of_20)
    assert end.rollout.state is RolloutState.DONE
    assert sorted(end.problems) == sorted(ORDER[1:4])


async def test_a_silent_guest_holds_nobody_up(broker: Broker, class_of_20: ControlPlane) -> None:
    """What is wrong with it is not the new edition; but somebody must have shown that it works."""
    async with Guests(broker.url, silent=ORDER[1:2]):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
        end, _ = await driven(class_of_20)
    assert end.rollout.state is RolloutState.DONE
    assert (end.tally.converged, end.tally.silent) == (19, 1)


async def test_nothing_goes_on_while_nobody_reports(broker: Broker, class_of_20: ControlPlane) -> None:
    """Silence is not success."""
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10,), patience_s=0))
    standing = await class_of_20.step_rollout("a")
    assert standing.reason == "none of the 2 VMs reached reports"
    assert await with_new(broker) == set(ORDER[:2])


async def test_a_paused_rollout_goes_on_only_when_told(broker: Broker, class_of_20: ControlPlane) -> None:
    """Whoever drives it stops driving; a step in between does nothing."""
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
    driving = asyncio.create_task(driven(class_of_20))
    await class_of_20.pause_rollout("a")
    end, _ = await driving
    assert end.rollout.state is RolloutState.PAUSED
    async with Guests(broker.url):
        await class_of_20.step_rollout("a")
        assert await with_new(broker) == set(ORDER[:2])
        await class_of_20.resume_rollout("a")
        # These guests heard nothing so far: what they were sent is sent again.
        await class_of_20.refresh("a")
        assert (await driven(class_of_20))[0].rollout.state is RolloutState.DONE


async def test_sync_and_new_members_spread_nothing_early(broker: Broker, class_of_20: ControlPlane) -> None:
    """Both give everybody what their place in the order says."""
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
    cutoff = (await class_of_20.rollout("a")).rollout.cutoff
    late = [vm for vm in (f"late-{n}" for n in range(20)) if place(ShareId("a"), VmId(vm)) > cutoff]
    await class_of_20.add_members("algebra", late)
    await class_of_20.sync()
    assert await with_new(broker) == set(ORDER[:2])
    sets = await stored_sets(broker)
    assert all([item.readonly for item in sets[vm].shares] == [True] for vm in late)


async def test_a_new_share_is_nowhere_before_its_wave(broker: Broker, plane: ControlPlane) -> None:
    """Undoing it ends it."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", CLASS)
    await plane.publish(NEW, classes=["algebra"], pacing=Pacing(waves=(10,)))
    await plane.sync()
    assert set(await stored_sets(broker)) == set(ORDER[:2])
    await plane.undo_rollout("a")
    assert await with_new(broker) == set()
    with pytest.raises(UnknownNameError):
        await plane.rollout("a")


async def test_a_rollout_outlives_whoever_drives_it(broker: Broker, class_of_20: ControlPlane) -> None:
    """The operator's laptop closes in a wave; somebody else goes on there."""
    async with Guests(broker.url, silent=ORDER):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
        driving = asyncio.create_task(class_of_20.drive_rollout("a"))
        await class_of_20.rollout("a")
        driving.cancel()
        await asyncio.gather(driving, return_exceptions=True)
    async with ControlPlane.connect(broker.url, operator="colleague") as other, Guests(broker.url):
        await other.resume_rollout("a")
        await other.refresh("a")
        end, _ = await driven(other)
    assert (end.rollout.state, end.rollout.started_by) == (RolloutState.DONE, "teacher")


async def test_two_drivers_make_each_step_once(broker: Broker, class_of_20: ControlPlane) -> None:
    """Each looks, one wins, the other looks again."""
    async with Guests(broker.url), ControlPlane.connect(broker.url) as other:
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10, 50)))
        stored = await count_stored(broker)
        ends = await asyncio.gather(driven(class_of_20), driven(other))
    assert [end.rollout.state for end, _ in ends] == [RolloutState.DONE] * 2
    assert await count_stored(broker) == stored + len(CLASS) - 2


async def test_a_step_whose_messages_were_lost_is_finished_by_the_next(
    broker: Broker, class_of_20: ControlPlane
) -> None:
    """The catalog knows who was reached, so a resume or a sync sends what is missing."""
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
    nc = class_of_20.link.nc
    await nc.jetstream().purge_stream("weft-mounts", subject=f"weft.mounts.{ORDER[0]}")
    assert await with_new(broker) == {ORDER[1]}
    await class_of_20.resume_rollout("a")
    assert await with_new(broker) == set(ORDER[:2])


async def test_a_third_edition_is_refused_and_a_share_without_waves_has_no_rollout(class_of_20: ControlPlane) -> None:
    """Both say what to do, or what is."""
    with pytest.raises(CatalogError, match="everybody got it at once"):
        await class_of_20.rollout("a")
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
    with pytest.raises(CatalogError, match="rollout undo a"):
        await class_of_20.publish(share("a", priority=3))
