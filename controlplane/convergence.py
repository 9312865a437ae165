"""Has a guest what was published to it? (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from controlplane.heard import describe_claim
from controlplane.results import FanOut, VmProblem
from weft.errors import PERMANENT_CODES, ErrorCode
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareState, ShareStatus, VmStatus


@dataclass(frozen=True, slots=True)
class Goal:
    """
    What one VM must report.

    Attributes:
        revision: It must obey at least this one.
        shares: For each share the digest to be mounted, None where it must be gone.
        failure: Why it can never report that: its state was not stored.
    """

    revision: int = 0
    shares: Mapping[ShareId, str | None] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Lacking:
    """
    Why a VM has not converged.

    Attributes:
        problem: For the operator.
        is_failed: Whether an error stands in the way, as opposed to time.
        is_final: Whether waiting longer is pointless.
    """

    problem: VmProblem
    is_failed: bool
    is_final: bool


def goals_of(fan_out: FanOut) -> dict[VmId, Goal]:
    """
    Say what each VM of a fan-out must report.

    One that was sent nothing and is to have none of the shares must only not report them: it may have left long ago,
    and is looked at again because a command before this one may have been interrupted.
    """
    goals = {vm: Goal(revision, fan_out.expected.get(vm, {})) for vm, revision in fan_out.stored.items()}
    for vm, revision in fan_out.unchanged.items():
        shares = fan_out.expected.get(vm, {})
        goals[vm] = Goal(revision if any(shares.values()) else 0, shares)
    goals |= {vm: Goal(shares=fan_out.expected.get(vm, {})) for vm in fan_out.unknown}
    return goals | {vm: Goal(failure=reason) for vm, reason in fan_out.failed.items()}


def judge(vm: VmId, goal: Goal, status: VmStatus | None) -> Lacking | None:
    """
    Compare what a guest reports with its goal.

    Returns:
        None where it has converged, else what is lacking.
    """
    if goal.failure:
        return _lacking(vm, goal.failure, is_failed=True, is_final=True)
    if not goal.revision and not any(goal.shares.values()) and status is None:
        return None
    if status is None:
        return _lacking(vm, "has never reported")
    if status.held_revision < goal.revision:
        return _lacking_revision(vm, goal, status)
    reported = {share.id: share for share in status.shares}
    found = [
        lacking
        for share_id, digest in goal.shares.items()
        if (lacking := _judge_share(vm, share_id, digest, reported.get(share_id))) is not None
    ]
    # A final failure is the most telling, then any failure; several shares of a VM make one line.
    return max(found, key=lambda lacking: (lacking.is_final, lacking.is_failed), default=None)


def judge_claim(vm: VmId, claimants: Sequence[str]) -> Lacking:
    """Judge a VM under whose id several guests report: what one has says nothing about the others."""
    problem = VmProblem(vm, None, None, ErrorCode.CONFLICT, describe_claim(vm, claimants))
    return Lacking(problem, is_failed=True, is_final=True)


def _lacking_revision(vm: VmId, goal: Goal, status: VmStatus) -> Lacking:
    if status.problem is not None and status.revision >= goal.revision:
        problem = VmProblem(vm, None, None, status.problem.code, status.problem.message, status.problem.retry_at)
        return Lacking(problem, is_failed=True, is_final=True)
    return _lacking(vm, f"still holds revision {status.held_revision}, not {goal.revision}")


def _judge_share(vm: VmId, share_id: ShareId, digest: str | None, share: ShareStatus | None) -> Lacking | None:
    if share is None:
        return None if digest is None else _lacking(vm, "does not know the share yet", share_id=share_id)
    match share.state:
        case ShareState.SHADOWED | ShareState.EXPIRED if digest is not None:
            return None
        case ShareState.MOUNTED if share.digest == digest:
            return None
        case ShareState.FAILED | ShareState.REJECTED | ShareState.HELD if digest is not None:
            return _lacking_share(vm, share, is_failed=True, is_final=True)
        case ShareState.DEGRADED if digest is not None and _waits_for_change(share):
            return _lacking_share(vm, share, is_failed=True, is_final=True)
        case ShareState.BACKOFF | ShareState.DEGRADED | ShareState.FAILED | ShareState.REJECTED:
            return _lacking_share(vm, share, is_failed=True, is_final=False)
        case (
            ShareState.PENDING
            | ShareState.MOUNTING
            | ShareState.MOUNTED
            | ShareState.DRAINING
            | ShareState.UNMOUNTING
            | ShareState.HELD
            | ShareState.SHADOWED
            | ShareState.EXPIRED
        ):
            return _lacking_share(vm, share, is_failed=False, is_final=False)
        case _:
            assert_never(share.state)


def _waits_for_change(share: ShareStatus) -> bool:
    """Say whether the new spec was refused for good, so that the old mount is all there will be."""
    return share.error is not None and share.error.retry_at is None and share.error.code in PERMANENT_CODES


def _lacking_share(vm: VmId, share: ShareStatus, *, is_failed: bool, is_final: bool) -> Lacking:
    error = share.error
    message = error.message if error is not None else f"is {share.state.value}"
    if error is None and share.state is ShareState.MOUNTED:
        message = "still has the former state mounted"
    problem = VmProblem(
        vm,
        ShareId(share.id),
        share.state,
        error.code if error is not None else None,
        message,
        error.retry_at if error is not None else None,
    )
    return Lacking(problem, is_failed=is_failed, is_final=is_final)


def _lacking(
    vm: VmId, message: str, *, share_id: ShareId | None = None, is_failed: bool = False, is_final: bool = False
) -> Lacking:
    return Lacking(VmProblem(vm, share_id, None, None, message), is_failed=is_failed, is_final=is_final)
