"""Where each share stands, in the operator's words: derived from the same facts as the plan."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from agent.desired import Desired
from agent.reconcile.live import LiveShare, Presence
from agent.reconcile.phase import Fault, Phase, StepKind
from agent.reconcile.wishes import Wishes
from weft.errors import ErrorCode
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState


@dataclass(frozen=True, slots=True)
class Standing:
    """
    One share as it stands.

    Attributes:
        share_id: The share.
        mount_point: Where it is, or should be.
        backend: Its driver.
        digest: Of what is mounted, empty where nothing is.
        state: Where it stands.
        attempts: Tries since it was last mounted or changed.
        fault: Why it is not as it should be; of one that is, what is worth knowing all the same.
        retry_at_s: Monotonic time of the next try, None where it waits for a change.
    """

    share_id: ShareId
    mount_point: str
    backend: str
    digest: str
    state: ShareState
    attempts: int = 0
    fault: Fault | None = None
    retry_at_s: float | None = None

    @property
    def is_converged(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state in (ShareState.MOUNTED, ShareState.SHADOWED, ShareState.EXPIRED)


def build_standings(
    desired: Desired,
    wishes: Wishes,
    live: Mapping[ShareId, LiveShare],
    phases: Mapping[ShareId, Phase],
    *,
    going: Set[ShareId],
    blocked: Mapping[ShareId, Fault],
) -> dict[ShareId, Standing]:
    """
    Describe every share that is wanted or mounted.

    Args:
        desired: The held state.
        wishes: The same, sorted out.
        live: Every mount of ours.
        phases: Where the work on each share stands.
        going: Ids whose mount must go.
        blocked: Ids that cannot be tried, and why.
    """
    result: dict[ShareId, Standing] = {}
    unusable = {element.id: element for element in desired.rejected if element.id in desired.unusable}
    for share_id in (*desired.shares, *(share_id for share_id in live if share_id not in desired.shares)):
        entry = desired.shares.get(share_id)
        mount = live.get(share_id)
        share = entry.share if entry is not None else live[share_id].share
        is_there = mount is not None and mount.presence is not Presence.ABSENT
        digest = mount.digest if mount is not None and is_there else ""
        phase = phases.get(share_id, Phase())
        if share_id in unusable:
            fault: Fault | None = Fault(ErrorCode.BAD_SPEC, unusable[share_id].reason)
            state = ShareState.REJECTED
        elif share_id in wishes.cyclic:
            state, fault = ShareState.REJECTED, wishes.cyclic[share_id]
        elif share_id in wishes.idle and not is_there:
            state, fault = wishes.idle[share_id], phase.remark
        else:
            wanted = entry.digest if share_id in wishes.active and entry is not None else digest
            fault = blocked.get(share_id) or phase.fault or phase.ailment
            state = _state(phase, fault, digest=digest, wanted=wanted, is_going=share_id in going)
            fault = fault or phase.remark
        result[share_id] = _standing(share_id, share, digest, state, fault, phase)
    for rejected_id, element in unusable.items():
        if rejected_id is not None and rejected_id not in result:
            reason = Fault(ErrorCode.BAD_SPEC, element.reason)
            known_id = ShareId(rejected_id)
            result[known_id] = Standing(
                known_id, element.mount_point, element.backend, "", ShareState.REJECTED, fault=reason
            )
    return result


def _state(phase: Phase, fault: Fault | None, *, digest: str, wanted: str, is_going: bool) -> ShareState:
    if phase.running is not None and phase.running.kind is not StepKind.CHECK:
        return ShareState.UNMOUNTING if phase.running.kind is StepKind.UNMOUNT else ShareState.MOUNTING
    if is_going:
        return ShareState.UNMOUNTING
    if digest and digest == wanted:
        return ShareState.MOUNTED if fault is None else ShareState.DEGRADED
    if fault is None:
        return ShareState.PENDING
    if digest:
        return ShareState.DEGRADED
    return ShareState.FAILED if fault.is_permanent else ShareState.BACKOFF


def _standing(
    share_id: ShareId, share: ShareMount, digest: str, state: ShareState, fault: Fault | None, phase: Phase
) -> Standing:
    is_up = state is ShareState.MOUNTED
    is_failure = fault is not None and not (fault.is_standing or fault.is_permanent) and fault is not phase.remark
    is_retried = is_failure and phase.running is None and phase.due_s > 0
    return Standing(
        share_id=share_id,
        mount_point=share.mount_point,
        backend=share.backend_name,
        digest=digest,
        state=state,
        attempts=0 if is_up else phase.attempts,
        fault=fault,
        retry_at_s=phase.due_s if is_retried else None,
    )
