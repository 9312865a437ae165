"""Where a rollout stands (pure): what the VMs that it has reached report, counted and judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controlplane.convergence import Goal, Lacking, judge
from controlplane.heard import Heard, is_stale
from controlplane.messages import LastMessage
from controlplane.projection import Members, Projection, targeted
from controlplane.records import Rollout, RolloutState, ShareRecord
from controlplane.results import VmProblem
from controlplane.rollout import Next, Tally, judge_step, split, steps_of
from weft.wire.ids import ShareId, VmId


@dataclass(frozen=True, slots=True)
class RolloutStanding:
    """
    One rollout as an operator sees it.

    Attributes:
        share_id: The share.
        rollout: What the catalog says.
        vms: How many VMs it is for.
        reached: How many of them are to have the new edition by now.
        tally: How those took it.
        problems: VMs reached that do not have it, and why.
        verdict: What becomes of it.
        reason: Why, where it waits or stops.
    """

    share_id: ShareId
    rollout: Rollout
    vms: int
    reached: int
    tally: Tally = field(default_factory=Tally)
    problems: Mapping[VmId, VmProblem] = field(default_factory=dict)
    verdict: Next = Next.WAIT
    reason: str = ""

    @property
    def step(self) -> str:
        """The step it is at, as ``wave 2 of 3 (50%)``."""
        steps = steps_of(self.rollout)
        step = min(self.rollout.step, len(steps) - 1)
        if self.rollout.canary and step == 0:
            return steps[0]
        first = 1 if self.rollout.canary else 0
        return f"wave {step + 1 - first} of {len(steps) - first} ({steps[step]})"

    @property
    def outline(self) -> str:
        """Where it stands, in a line that changes only when it moves."""
        rollout = self.rollout
        if not rollout.is_open:
            return "done"
        problem = f": {rollout.problem}" if rollout.problem else ""
        return f"{rollout.state.value} at {self.step}{problem}"


def everybody(record: ShareRecord, members: Members) -> frozenset[VmId]:
    """List every VM that gets the share before or after its rollout."""
    return frozenset().union(*(targeted(edition, members) for edition in record.editions))


def reached_vms(record: ShareRecord, members: Members) -> frozenset[VmId]:
    """List the VMs that are to have the new edition by now."""
    return split(record, everybody(record, members))[0]


def build_standing(
    record: ShareRecord,
    rollout: Rollout,
    members: Members,
    projection: Projection,
    last: Mapping[VmId, LastMessage],
    heard: Mapping[VmId, Heard],
    *,
    broker_now_s: float,
    now: datetime,
) -> RolloutStanding:
    """
    Count and judge what the VMs reached report.

    Args:
        record: The share.
        rollout: Its rollout.
        members: VMs of its classes.
        projection: What each VM reached should have, of this share alone.
        last: What each was sent.
        heard: What each reported.
        broker_now_s: The broker's clock, for telling who is silent.
        now: Ours, for telling how long the step has lasted.
    """
    lacking: dict[VmId, Lacking] = {}
    silent: set[VmId] = set()
    reached = reached_vms(record, members)
    for vm in sorted(reached):
        told = heard.get(vm)
        status = told.status if told is not None else None
        found = judge(vm, _goal(record, vm, projection, last.get(vm)), status)
        if found is None:
            continue
        lacking[vm] = found
        if not found.is_final and (
            told is None or status is None or is_stale(status, broker_now_s - told.reported_at_s)
        ):
            silent.add(vm)
    failed = sum(found.is_final for found in lacking.values())
    tally = Tally(
        converged=len(reached) - len(lacking),
        failed=failed,
        struggling=len(lacking) - failed - len(silent),
        silent=len(silent),
    )
    verdict, reason = judge_step(rollout, tally, now)
    if rollout.state is not RolloutState.RUNNING:
        verdict, reason = Next.WAIT, rollout.problem
    elif not record.enabled:
        verdict, reason = Next.WAIT, "the share is disabled"
    return RolloutStanding(
        record.share_id,
        rollout,
        len(everybody(record, members)),
        len(reached),
        tally,
        {vm: found.problem for vm, found in lacking.items()},
        verdict,
        reason,
    )


def _goal(record: ShareRecord, vm: VmId, projection: Projection, last: LastMessage | None) -> Goal:
    if vm in projection.problems:
        return Goal(failure=projection.problems[vm])
    digest = next((share.digest for share in projection.lists.get(vm, ())), None)
    # Obeying what was stored last comes first: before that, a failure may be about the edition before.
    return Goal(last.revision if last is not None else 0, {record.share_id: digest})
