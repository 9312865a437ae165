"""The loop: wake, observe, plan, and one task per step; it decides nothing and waits for nobody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

import structlog

from agent.clock import Alarm, Clock, LoopClock
from agent.desired import Desired
from agent.reconcile import phase as transitions
from agent.reconcile.live import LiveShare
from agent.reconcile.phase import Fault, Phase, Step, StepKind, build_fault
from agent.reconcile.plan import Plan, plan
from agent.reconcile.standing import Standing
from weft.errors import MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

ApplyFunc = Callable[[ShareMount], Awaitable[None]]
"""Mounts, replaces or unmounts one share; idempotent; raises a typed error."""

log = structlog.get_logger("weft.reconcile")


@dataclass(frozen=True, slots=True)
class Progress:
    """
    What came of the last plan.

    Attributes:
        desired: What it was made for.
        standings: Where every share stands.
        since: Since when.
        is_settled: Whether nothing is left to do.
        is_planned: False before the first plan, when nothing is known, not even that nothing is mounted.
    """

    desired: Desired
    standings: Mapping[ShareId, Standing]
    since: Mapping[ShareId, datetime]
    is_settled: bool
    is_planned: bool = True


class Reconciler:
    """
    Make the actual state follow the desired one.

    Args:
        desired: What is held at the start.
        observe: Returns every mount of ours; must not block.
        apply: Performs a step.
        check: Finds out what can be known before a mount whose dependents would have to go down; optional.
        held: Ids that the administrator keeps away.
        on_progress: Called after every plan that changed where something stands.
        clock: Time.
        jitter: Uniform in [0, 1); spreads retries.
    """

    def __init__(
        self,
        desired: Desired,
        *,
        observe: Callable[[], Mapping[ShareId, LiveShare]],
        apply: ApplyFunc,
        check: ApplyFunc | None = None,
        held: frozenset[ShareId] = frozenset(),
        on_progress: Callable[[Progress], None] = lambda progress: None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._desired = desired
        self._observe = observe
        self._apply = apply
        self._check = check
        self._held = held
        self._on_progress = on_progress
        self._clock = clock if clock is not None else LoopClock()
        self._jitter = jitter
        self._phases: dict[ShareId, Phase] = {}
        self._progress = Progress(desired, {}, {}, is_settled=False, is_planned=False)
        self._group: asyncio.TaskGroup | None = None
        self._ended: asyncio.Future[None] | None = None
        self._tasks: dict[ShareId, asyncio.Task[None]] = {}
        self._recalled: set[ShareId] = set()
        self._is_awake = False
        self._alarm: Alarm | None = None
        self._moved = asyncio.Event()

    @property
    def progress(self) -> Progress:
        """Where everything stands."""
        return self._progress

    @property
    def held(self) -> frozenset[ShareId]:
        """Ids that the administrator keeps away."""
        return self._held

    async def run(self) -> None:
        """Work until cancelled; then steps in flight are cancelled too, and mounts stay as they are."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._ended = asyncio.get_running_loop().create_future()
                self.wake()
                await self._ended
        finally:
            self._group = None
            if self._alarm is not None:
                self._alarm.cancel()

    # --- what may have changed ------------------------------------------------------------------------------------

    def want(self, desired: Desired) -> None:
        """Hold *desired* from now on."""
        self._desired = desired
        self.wake()

    def hold(self, held: frozenset[ShareId]) -> None:
        """Keep exactly *held* away."""
        self._held = held
        self.wake()

    def retry(self, share_id: ShareId | None = None) -> None:
        """Try *share_id*, or everything, now, also after a permanent failure."""
        for each in list(self._phases) if share_id is None else [share_id]:
            if each in self._phases:
                self._phases[each] = transitions.retry(self._phases[each])
        self.wake()

    def ail(self, share_id: ShareId, error: MountError | None) -> None:
        """Note that a mount which was up is lost or hangs (*error*), or may have changed or recovered (None)."""
        phase = self._phases.get(share_id, Phase())
        if phase.running is None or phase.running.kind is StepKind.CHECK:
            self._phases[share_id] = transitions.suffer(
                phase, build_fault(error) if error else None, now_s=self._clock.now_s(), jitter=self._jitter()
            )
            self._tell_ailment(share_id, phase, self._phases[share_id])
        self.wake()

    def remark(self, share_id: ShareId, error: MountError | None) -> None:
        """Note what is worth knowing of a share's step in flight or just done; its next step begins without it."""
        phase = self._phases.get(share_id)
        if phase is not None:
            self._phases[share_id] = replace(phase, remark=build_fault(error) if error else None)
            self.wake()

    def wake(self) -> None:
        """Plan soon; several calls in one turn of the loop make one plan."""
        if not self._is_awake and self._group is not None:
            self._is_awake = True
            asyncio.get_running_loop().call_soon(self._reconcile_or_end)

    def _tell_ailment(self, share_id: ShareId, before: Phase, now: Phase) -> None:
        ailment = now.ailment
        if ailment == before.ailment:
            return
        if ailment is None:
            log.info("mount.recovered", share=share_id)
        elif ailment.is_standing:
            log.warning("mount.degraded", share=share_id, error=ailment.message)
        else:
            delay_s = round(max(now.due_s - self._clock.now_s(), 0.0), 1)
            log.warning("mount.lost", share=share_id, attempt=now.losses, delay_s=delay_s, error=ailment.message)

    # --- waiting for it -------------------------------------------------------------------------------------------

    async def wait_for(self, is_reached: Callable[[Progress], bool]) -> None:
        """Wait until *is_reached* holds; bounded by the caller."""
        while self._is_awake or not is_reached(self._progress):
            self._moved.clear()
            await self._moved.wait()

    # --- one pass -------------------------------------------------------------------------------------------------

    def _reconcile_or_end(self) -> None:
        try:
            self._reconcile()
        except Exception as exc:  # noqa: BLE001  # raised by run(): an agent that cannot plan must not look alive
            if self._ended is not None and not self._ended.done():
                self._ended.set_exception(exc)

    def _reconcile(self) -> None:
        self._is_awake = False
        if self._group is None:
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now_s = self._clock.now_s()
        the_plan = plan(
            self._desired, self._phases, self._observe(), held=self._held, now_s=now_s, utc=self._clock.utc()
        )
        for step in the_plan.steps:
            share_id = step.share.share_id
            self._phases[share_id] = transitions.begin(self._phases.get(share_id, Phase()), step)
        for step in the_plan.steps:
            name = f"weft-{step.kind}-{step.share.id}"
            self._tasks[step.share.share_id] = self._group.create_task(self._perform(step), name=name)
        for share_id in set(the_plan.recalls) - self._recalled:
            self._recalled.add(share_id)
            self._tasks[share_id].cancel()
        if the_plan.steps:
            self.wake()  # the steps begin first; the next pass tells where everything stands then
            return
        if the_plan.wake_at_s is not None:
            self._alarm = self._clock.call_later(max(the_plan.wake_at_s - now_s, 0.0), self.wake)
        self._publish(the_plan)

    def _publish(self, the_plan: Plan) -> None:
        before = self._progress
        utc = self._clock.utc()
        since = {
            share_id: before.since[share_id]
            if share_id in before.standings and before.standings[share_id].state is standing.state
            else utc
            for share_id, standing in the_plan.standings.items()
        }
        self._progress = Progress(self._desired, the_plan.standings, since, the_plan.is_settled)
        self._phases = {
            share_id: phase
            for share_id, phase in self._phases.items()
            if phase.running is not None or share_id in the_plan.standings
        }
        if replace(self._progress, since=before.since) != before:
            if the_plan.is_settled:
                log.debug("reconcile.finished", shares=len(the_plan.standings))
            self._on_progress(self._progress)
        self._moved.set()

    async def _perform(self, step: Step) -> None:
        share_id = step.share.share_id
        started_s = self._clock.now_s()
        perform = self._check if step.kind is StepKind.CHECK else self._apply
        try:
            if perform is not None:
                await perform(step.share)
        except asyncio.CancelledError:
            if share_id not in self._recalled:
                raise
            self._phases[share_id] = transitions.recall(self._phases[share_id])
            log.info("mount.recalled", share=share_id, mount_point=step.share.mount_point)
        except Exception as exc:  # noqa: BLE001  # an ApplyFunc is anybody's code; its failure is this share's alone
            self._note_failure(step, build_fault(exc), exc)
        else:
            now_s = self._clock.now_s()
            self._phases[share_id] = transitions.succeed(self._phases[share_id], now_s=now_s)
            self._tell(step, took_ms=round((now_s - started_s) * 1000, 1))
        self._recalled.discard(share_id)
        self.wake()

    def _tell(self, step: Step, *, took_ms: float) -> None:
        share = step.share
        match step.kind:
            case StepKind.MOUNT:
                log.info(
                    "mount.applied",
                    share=share.share_id,
                    mount_point=share.mount_point,
                    backend=share.backend_name,
                    took_ms=took_ms,
                )
            case StepKind.UNMOUNT:
                log.info("unmount.applied", share=share.share_id, mount_point=share.mount_point, took_ms=took_ms)
            case StepKind.CHECK:
                pass
            case _:
                assert_never(step.kind)

    def _note_failure(self, step: Step, fault: Fault, exc: Exception) -> None:
        share_id = step.share.share_id
        now_s = self._clock.now_s()
        phase = transitions.fail(self._phases[share_id], fault, now_s=now_s, jitter=self._jitter())
        self._phases[share_id] = phase
        is_ours = isinstance(exc, MountError)
        (log.error if fault.is_permanent or not is_ours else log.warning)(
            "unmount.failed" if step.kind is StepKind.UNMOUNT else "mount.failed",
            share=share_id,
            mount_point=step.share.mount_point,
            attempt=phase.attempts,
            delay_s=None if fault.is_permanent else round(phase.due_s - now_s, 1),
            error=fault.message,
            exc_info=None if is_ours else exc,
        )


def is_reached(progress: Progress, share_id: ShareId) -> bool:
    """Say whether nothing is left to do for *share_id*: mounted, not to be mounted, or not wanted at all."""
    standing = progress.standings.get(share_id)
    return standing is None or standing.is_converged or standing.state is ShareState.HELD
