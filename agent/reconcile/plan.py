"""The plan: from what is wanted, what is there and where the work stands, to the steps that may begin now."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.desired import Desired
from agent.reconcile.ground import Claims, Ground
from agent.reconcile.live import LiveShare, Presence
from agent.reconcile.phase import UNMOUNT, Fault, Phase, Step, StepKind, toward
from agent.reconcile.standing import Standing, build_standings
from agent.reconcile.wishes import Wishes, build_wishes, places_below
from weft.errors import ErrorCode
from weft.wire.digest import mount_digest
from weft.wire.ids import ShareId
from weft.wire.share import Action, ShareMount

LONGEST_SLEEP_S = 30.0
"""Expiry follows the wall clock, which may jump; it is looked at this often at least while anything expires."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What may begin now.

    Attributes:
        steps: Safe to perform at the same time.
        recalls: Shares whose mount or check in flight is about a spec that is not wanted any more.
        standings: Where every share stands, for the report.
        wake_at_s: Monotonic time at which to plan again though nothing happened; None for no such time.
        is_settled: Whether nothing runs, nothing may begin and nothing waits.
    """

    steps: tuple[Step, ...]
    recalls: tuple[ShareId, ...]
    standings: Mapping[ShareId, Standing]
    wake_at_s: float | None
    is_settled: bool


class Goal(enum.Enum):
    """What a share's mount needs."""

    KEEP = enum.auto()
    MOUNT = enum.auto()
    CHANGE_LIVE = enum.auto()
    UNMOUNT = enum.auto()


def plan(
    desired: Desired,
    phases: Mapping[ShareId, Phase],
    live: Mapping[ShareId, LiveShare],
    *,
    held: frozenset[ShareId] = frozenset(),
    now_s: float,
    utc: datetime,
) -> Plan:
    """
    Say which steps may begin now.

    Children go before their parents and come after them; a share waits for the first attempt of what it stands on, and
    goes down while that comes later. Nothing begins at, above or below a step in flight, over a mount of ours that is
    still there, or against a mount that no complete list has taken away.

    Args:
        desired: The held state.
        phases: Where the work on each share stands; unknown ids have seen none.
        live: Every mount of ours.
        held: Ids that this guest's administrator keeps away.
        now_s: Monotonic clock.
        utc: Wall clock, for expiry only.
    """
    wishes = build_wishes(desired, held=held, utc=utc)
    return _Planner(desired, wishes, phases, live, now_s).plan(utc)


class _Planner:
    """One pass; its attributes are what several rules look at."""

    def __init__(
        self,
        desired: Desired,
        wishes: Wishes,
        phases: Mapping[ShareId, Phase],
        live: Mapping[ShareId, LiveShare],
        now_s: float,
    ) -> None:
        self.desired, self.wishes, self.live, self.now_s = desired, wishes, live, now_s
        self.before = phases
        self.goals = {share_id: self._goal(share_id, phases) for share_id in (*wishes.active, *live)}
        self.phases = {
            share_id: toward(phases.get(share_id, Phase()), self._goal_text(share_id, goal))
            for share_id, goal in self.goals.items()
        }
        self.ground = Ground(live)
        self.there = self.ground.there
        self.claims = Claims(phase.running for phase in phases.values() if phase.running is not None)
        self.later_s: list[float] = []
        self.moving: set[ShareId] = set()
        self.leaving: set[ShareId] = set()
        self.on_leaving: dict[ShareId, set[ShareId]] = {}
        self.under_moving: frozenset[ShareId] = frozenset()
        self.brought_down: set[ShareId] = set()
        self.steps: dict[ShareId, Step] = {}
        self.blocked: dict[ShareId, Fault] = {}

    # --- what each share needs ----------------------------------------------------------------------------------------

    def _goal(self, share_id: ShareId, phases: Mapping[ShareId, Phase]) -> Goal:
        mount = self.live.get(share_id)
        entry = self.wishes.active.get(share_id)
        if entry is None:
            assert mount is not None, "an id is wanted or live"
            return Goal.UNMOUNT if self._may_go(share_id) else Goal.KEEP
        phase = phases.get(share_id, Phase())
        if mount is None or mount.presence is Presence.ABSENT or phase.is_dead:
            return Goal.MOUNT
        if mount.digest == entry.digest:
            is_sure = mount.presence is Presence.MOUNTED or (phase.goal == entry.digest and phase.mounted_s is not None)
            return Goal.KEEP if is_sure else Goal.MOUNT
        same_place = mount.share.mount_point == entry.share.mount_point
        if same_place and mount_digest(mount.share) == mount_digest(entry.share):
            return Goal.CHANGE_LIVE
        return Goal.MOUNT

    def _may_go(self, share_id: ShareId) -> bool:
        """Say whether a mount that is not to be there was told to go, rather than not mentioned or not understood."""
        if share_id in self.wishes.idle:
            return True
        if share_id in self.wishes.cyclic or share_id in self.desired.unusable:
            return False
        return self.desired.is_complete or share_id in self.desired.dismissed

    def _goal_text(self, share_id: ShareId, goal: Goal) -> str:
        if goal is Goal.UNMOUNT:
            return UNMOUNT
        entry = self.wishes.active.get(share_id)
        return entry.digest if entry is not None else self.live[share_id].digest

    # --- which of them may begin --------------------------------------------------------------------------------------

    def plan(self, utc: datetime) -> Plan:
        """Find the steps, then say where everything stands."""
        ready = {share_id for share_id, goal in self.goals.items() if goal is not Goal.KEEP and self._is_due(share_id)}
        coming = {share_id for share_id in ready if self.goals[share_id] is not Goal.CHANGE_LIVE}
        self.moving = {share_id for share_id in self.phases if self._is_moving(share_id)}
        self.under_moving = frozenset().union(*(self.wishes.bases.get(share_id, ()) for share_id in self.moving))
        self.leaving = {
            share_id
            for share_id in coming | self.moving
            if share_id in self.there and self.goals[share_id] in (Goal.UNMOUNT, Goal.MOUNT)
        }
        self.on_leaving = self._find_on_leaving()
        for share_id in sorted(ready, key=self._depth):
            match self.goals[share_id]:
                case Goal.UNMOUNT:
                    self._begin_unmount(share_id)
                case Goal.CHANGE_LIVE:
                    self._begin(StepKind.MOUNT, share_id)
                case _:
                    self._begin_mount(share_id, coming)
        steps = self._steps_apart()
        going = {share_id for share_id, goal in self.goals.items() if goal is Goal.UNMOUNT}
        standings = build_standings(
            self.desired,
            self.wishes,
            self.live,
            {**self.before, **self.phases},
            going=going,
            blocked=self.blocked,
        )
        is_working = any(phase.running for phase in self.phases.values())
        wake_at_s = self._wake_at(utc)
        is_settled = not (steps or is_working) and not any(
            goal is not Goal.KEEP and share_id not in self.blocked and not self.phases[share_id].is_waiting_for_change
            for share_id, goal in self.goals.items()
        )
        return Plan(steps, self._recalls(), standings, wake_at_s, is_settled)

    def _is_due(self, share_id: ShareId) -> bool:
        phase = self.phases[share_id]
        return phase.running is None and not phase.is_waiting_for_change and phase.due_s <= self.now_s

    def _depth(self, share_id: ShareId) -> tuple[int, ShareId]:
        return (len(self._place(share_id)), share_id)

    def _place(self, share_id: ShareId) -> str:
        entry = self.wishes.active.get(share_id)
        return entry.share.mount_point if entry is not None else self.live[share_id].share.mount_point

    def _places(self, share_id: ShareId) -> frozenset[str]:
        """Return where a step on *share_id* works: where the share should be, and where it is."""
        places = {self._place(share_id)}
        if share_id in self.there:
            places.add(self.there[share_id].share.mount_point)
        return frozenset(places)

    def _begin_mount(self, share_id: ShareId, coming: set[ShareId]) -> None:
        place = self._place(share_id)
        others = self.ground.at(place) - {share_id}
        strays = [other for other in others if self.goals[other] is Goal.KEEP]
        if strays:
            self.blocked[share_id] = Fault(
                ErrorCode.CONFLICT,
                f"cannot mount {share_id!r} on {place}: share {strays[0]!r} is there, and nothing has told it to go",
            )
            coming.discard(share_id)
            return
        if others or self._must_wait(share_id, coming):
            if share_id in self.there and self.there[share_id].share.mount_point != place:
                self._bring_down([share_id])  # what it waits for may be waiting for the place it leaves
            return
        if self._is_sick(share_id):
            self._begin(StepKind.MOUNT, share_id)
            return
        dependents = self.ground.upon(share_id, self._places(share_id))
        staying = {other for other in dependents if self.goals[other] is not Goal.UNMOUNT}
        if not dependents:
            self._begin(StepKind.MOUNT, share_id)
        elif not staying:
            return
        elif self.phases[share_id].is_checked:
            self._bring_down(dependents)
        else:
            self._begin(StepKind.CHECK, share_id)

    def _must_wait(self, share_id: ShareId, coming: set[ShareId]) -> bool:
        """Say whether something below *share_id* is about to come or go, or something upon it is in flight."""
        bases = self.wishes.bases[share_id]
        if share_id in self.under_moving or not (bases.isdisjoint(coming) and bases.isdisjoint(self.moving)):
            return True
        below = (self.on_leaving[each] for each in (bases | {share_id}) & self.on_leaving.keys())
        return any(leaving != {share_id} for leaving in below)

    def _find_on_leaving(self) -> dict[ShareId, set[ShareId]]:
        """Map each active share that would stand on mounts about to go to those mounts."""
        places: dict[str, set[ShareId]] = {}
        for share_id in self.leaving:
            places.setdefault(self.there[share_id].share.mount_point, set()).add(share_id)
        found: dict[ShareId, set[ShareId]] = {}
        for share_id, entry in self.wishes.active.items() if places else ():
            for place in places_below(entry.share):
                if place in places:
                    found.setdefault(share_id, set()).update(places[place])
        return found

    def _begin_unmount(self, share_id: ShareId) -> None:
        if self._lies_under_dead(share_id):
            return
        if share_id not in self.there or self._is_sick(share_id):
            # Nothing has to go down before what is gone already; only its record is tidied.
            self._begin(StepKind.UNMOUNT, share_id)
        else:
            self._bring_down([share_id])

    def _bring_down(self, share_ids: Iterable[ShareId]) -> None:
        """
        Unmount *share_ids*, and first what stands on them; they return by themselves.

        Each share is looked at once in a pass: on every way down a stack of thirty there are a billion.
        """
        todo = list(share_ids)
        while todo:
            share_id = todo.pop()
            if share_id in self.brought_down:
                continue
            self.brought_down.add(share_id)
            phase = toward(self.before.get(share_id, Phase()), UNMOUNT)
            upon = self.ground.upon(share_id, [self.live[share_id].share.mount_point])
            if upon:
                todo.extend(upon)
            elif phase.due_s > self.now_s:
                self.later_s.append(phase.due_s)
            elif phase.running is None:
                self._begin(StepKind.UNMOUNT, share_id)

    def _begin(self, kind: StepKind, share_id: ShareId) -> None:
        if kind is StepKind.UNMOUNT:
            place = self.live[share_id].share.mount_point
            share = ShareMount(id=share_id, action=Action.UNMOUNT, mount_point=place)
            step = Step(kind, share, UNMOUNT, frozenset({place}))
        else:
            entry = self.wishes.active[share_id]
            step = Step(kind, entry.share, entry.digest, self._places(share_id))
        if not self.claims.refuse(step):
            self.steps[share_id] = step

    def _is_moving(self, share_id: ShareId) -> bool:
        running = self.phases[share_id].running if share_id in self.phases else None
        return running is not None and running.kind is not StepKind.CHECK

    def _is_sick(self, share_id: ShareId) -> bool:
        """Say whether calls that walk into the mount fail or hang, so that it must go with all that stands on it."""
        return share_id in self.there and self.phases[share_id].is_sick

    def _lies_under_dead(self, share_id: ShareId) -> bool:
        return any(
            self._is_sick(base) and self.goals[base] is not Goal.KEEP
            for base in self.ground.above(self.live[share_id].share.mount_point)
        )

    def _steps_apart(self) -> tuple[Step, ...]:
        """Return the steps that do not get in each other's way: unmounts first, then from the top down."""
        order = (StepKind.UNMOUNT, StepKind.CHECK, StepKind.MOUNT)
        kept: list[Step] = []
        claims = Claims()
        for share_id in sorted(self.steps, key=lambda each: (order.index(self.steps[each].kind), self._depth(each))):
            step = self.steps[share_id]
            if not claims.refuse(step):
                claims.add(step)
                kept.append(step)
        return tuple(kept)

    def _recalls(self) -> tuple[ShareId, ...]:
        wanted = {share_id: entry.digest for share_id, entry in self.wishes.active.items()}
        return tuple(
            share_id
            for share_id, phase in self.before.items()
            if phase.running is not None
            and phase.running.kind is not StepKind.UNMOUNT
            and phase.running.goal != wanted.get(share_id)
        )

    def _wake_at(self, utc: datetime) -> float | None:
        times = self.later_s + [
            phase.due_s
            for share_id, phase in self.phases.items()
            if phase.running is None and phase.due_s > self.now_s and not phase.is_waiting_for_change
            and self.goals[share_id] is not Goal.KEEP
        ]  # fmt: skip
        if self.wishes.next_expiry is not None:
            times.append(self.now_s + min((self.wishes.next_expiry - utc).total_seconds(), LONGEST_SLEEP_S))
        return min(times, default=None)
