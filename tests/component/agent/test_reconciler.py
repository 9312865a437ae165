"""The loop with a model of mounting and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from agent.actual import Presence
from agent.desired import Desired, Entry, Origin
from agent.reconcile.live import LiveShare
from agent.reconcile.reconciler import Progress, Reconciler, is_reached
from tests.fakes.clock import FakeClock
from tests.fakes.engine import FakeEngine
from tests.parts.shares import bind
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

A, B = bind("a"), bind("b")
ID = ShareId("a")
UNREACHABLE = MountError("cannot reach it", code=ErrorCode.UNREACHABLE)
DENIED = MountError("cannot log in", code=ErrorCode.AUTH)
DEADLINE_S = 5.0


def desire(*shares: ShareMount) -> Desired:
    entries = {share.share_id: Entry.of(share, Origin.SET) for share in shares}
    return Desired(VmId("vm-7"), revision=1, shares=entries, is_complete=True)


class Rig:
    """A reconciler at work."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.clock = FakeClock()
        self.gates: dict[str, asyncio.Event] = {}
        self.entered: list[str] = []
        self.reports: list[Progress] = []
        self.reconciler = Reconciler(
            desire(),
            observe=self.engine.observe,
            apply=self._apply,
            on_progress=self.reports.append,
            clock=self.clock,
            jitter=lambda: 1.0,
        )

    async def _apply(self, share: ShareMount) -> None:
        self.entered.append(share.id)
        if share.id in self.gates:
            await self.gates[share.id].wait()
        await self.engine.apply(share)

    def want(self, *shares: ShareMount) -> None:
        self.reconciler.want(desire(*shares))

    async def until(self, is_reached: Callable[[Progress], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.reconciler.wait_for(is_reached)

    async def until_state(self, share_id: str, state: ShareState) -> None:
        await self.until(lambda progress: self.state_in(progress, share_id) is state)

    async def settled(self) -> None:
        await self.until(lambda progress: progress.is_settled)

    @staticmethod
    def state_in(progress: Progress, share_id: str) -> ShareState | None:
        standing = progress.standings.get(ShareId(share_id))
        return standing.state if standing is not None else None


@asynccontextmanager
async def working(rig: Rig) -> AsyncIterator[Rig]:
    task = asyncio.create_task(rig.reconciler.run())
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A running reconciler with nothing desired."""
    async with working(Rig()) as running:
        yield running


async def test_what_is_wanted_is_mounted_and_what_is_not_is_unmounted(rig: Rig) -> None:
    """Once each."""
    rig.want(A, B)
    await rig.settled()
    rig.want(B)
    await rig.settled()
    assert sorted(rig.engine.log) == ["mount a", "mount b", "unmount a"]


async def test_wanting_the_same_again_does_nothing(rig: Rig) -> None:
    """Unchanged means untouched."""
    rig.want(A)
    await rig.settled()
    rig.want(A)
    await rig.settled()
    assert rig.entered == ["a"]


async def test_one_slow_share_delays_no_other(rig: Rig) -> None:
    """Also not one that is wanted later."""
    rig.gates["a"] = asyncio.Event()
    rig.want(A)
    await rig.until_state("a", ShareState.MOUNTING)
    rig.want(A, B)
    await rig.until_state("b", ShareState.MOUNTED)
    rig.gates["a"].set()
    await rig.settled()


async def test_a_mount_in_flight_is_called_off_for_another_spec(rig: Rig) -> None:
    """Waiting for it would delay what is wanted now."""
    changed = bind("a", readonly=True)
    rig.gates["a"] = asyncio.Event()
    rig.want(A)
    await rig.until_state("a", ShareState.MOUNTING)
    rig.want(changed)
    await rig.until(lambda progress: len(rig.entered) == 2)
    rig.gates["a"].set()
    await rig.settled()
    assert rig.engine.live[ID].share == changed
    assert rig.engine.log == ["mount a"]


async def test_a_mount_in_flight_is_called_off_when_the_share_goes(rig: Rig) -> None:
    """It may hang for as long as its backend does."""
    rig.gates["a"] = asyncio.Event()
    rig.want(A, B)
    await rig.until_state("a", ShareState.MOUNTING)
    rig.want(B)
    await rig.settled()
    assert rig.engine.live.keys() == {"b"}


async def test_an_unmount_in_flight_is_never_called_off(rig: Rig) -> None:
    """What is wanted again is mounted after it."""
    rig.want(A)
    await rig.settled()
    rig.gates["a"] = asyncio.Event()
    rig.want()
    await rig.until_state("a", ShareState.UNMOUNTING)
    rig.want(A)
    rig.gates["a"].set()
    await rig.settled()
    assert rig.engine.log == ["mount a", "unmount a", "mount a"]


async def test_a_failure_is_retried_when_its_time_has_come(rig: Rig) -> None:
    """With growing delay, and reported with the time of the next try."""
    rig.engine.failures["a"] = [UNREACHABLE, UNREACHABLE]
    rig.want(A)
    await rig.until_state("a", ShareState.BACKOFF)
    standing = rig.reconciler.progress.standings[ID]
    assert standing.attempts == 1
    assert standing.retry_at_s == rig.clock.now_s() + 1.0
    rig.clock.advance(1.0)
    await rig.until(lambda progress: progress.standings[ID].attempts == 2)
    await rig.until_state("a", ShareState.BACKOFF)
    assert rig.clock.next_alarm_s() == 2.0
    rig.clock.advance(2.0)
    await rig.until_state("a", ShareState.MOUNTED)


async def test_a_permanent_failure_waits_for_retry(rig: Rig) -> None:
    """No alarm is set for it."""
    rig.engine.failures["a"] = [DENIED]
    rig.want(A)
    await rig.until_state("a", ShareState.FAILED)
    assert rig.clock.next_alarm_s() is None
    rig.reconciler.retry(ID)
    await rig.until_state("a", ShareState.MOUNTED)


async def test_a_bug_in_the_apply_func_is_one_shares_failure() -> None:
    """The others go on."""
    rig = Rig()

    async def broken(share: ShareMount) -> None:
        if share.id == "a":
            raise ZeroDivisionError
        await rig.engine.apply(share)

    rig.reconciler = Reconciler(desire(A, B), observe=rig.engine.observe, apply=broken, clock=rig.clock)
    async with working(rig):
        await rig.until_state("b", ShareState.MOUNTED)
        await rig.until_state("a", ShareState.BACKOFF)
    fault = rig.reconciler.progress.standings[ID].fault
    assert fault is not None
    assert fault.code is ErrorCode.INTERNAL


async def test_a_lost_mount_is_repaired_at_once(rig: Rig) -> None:
    """Its client died."""
    rig.want(A)
    await rig.settled()
    rig.engine.add(A, Presence.ABSENT)
    rig.reconciler.ail(ID, MountError("its client died", code=ErrorCode.EXITED))
    await rig.settled()
    assert rig.engine.log == ["mount a", "mount a"]


async def test_a_held_share_goes_and_returns(rig: Rig) -> None:
    """Its administrator decides."""
    rig.want(A)
    await rig.settled()
    rig.reconciler.hold(frozenset({ID}))
    await rig.until_state("a", ShareState.HELD)
    assert is_reached(rig.reconciler.progress, ID)
    rig.reconciler.hold(frozenset())
    await rig.until_state("a", ShareState.MOUNTED)


async def test_progress_is_told_once_per_change(rig: Rig) -> None:
    """A report that says the same again would be noise."""
    rig.gates["a"] = asyncio.Event()
    rig.want(A)
    await rig.until_state("a", ShareState.MOUNTING)
    rig.gates["a"].set()
    await rig.settled()
    states = [Rig.state_in(progress, "a") for progress in rig.reports]
    assert [state for state in states if state is not None] == [ShareState.MOUNTING, ShareState.MOUNTED]
    told = len(rig.reports)
    rig.reconciler.wake()
    await rig.settled()
    assert len(rig.reports) == told


async def test_many_shares_are_mounted_concurrently(rig: Rig) -> None:
    """All have begun before the first one ends."""
    shares: Sequence[ShareMount] = [bind(f"s{n}") for n in range(50)]
    gate = asyncio.Event()
    rig.gates = {share.id: gate for share in shares}
    rig.want(*shares)
    await rig.until(lambda progress: len(rig.entered) == 50)
    gate.set()
    await rig.settled()
    assert len(rig.engine.live) == 50


async def test_a_plan_that_cannot_be_made_ends_the_loop() -> None:
    """An agent that does nothing any more must not look alive."""

    def broken() -> dict[ShareId, LiveShare]:
        raise ZeroDivisionError

    reconciler = Reconciler(desire(A), observe=broken, apply=FakeEngine().apply)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(DEADLINE_S):
            await reconciler.run()
    assert caught.group_contains(ZeroDivisionError)
