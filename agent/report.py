"""The report: what this guest says about itself, built from what is held, what is planned and what is mounted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.desired import Desired
from agent.identity import Identity
from agent.reconcile.phase import Fault
from agent.reconcile.standing import Standing
from weft.errors import ErrorCode
from weft.wire.ids import ShareId
from weft.wire.status import AgentInfo, Mode, ShareError, ShareState, ShareStatus, VmStatus

_REMARKS_AT_MOST = 10
_REMARK_CHARACTERS = 400
"""A report must fit a message, whatever lies on the guest's disk."""


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Everything a report is made of.

    Attributes:
        identity: Who reports.
        agent: Which agent.
        heartbeat_s: Longest time between two reports.
        mode: How the control plane is heard.
        desired: What is held, and the standings were planned for.
        revision_seen: Newest revision seen in the stream.
        problem: Why the newest message is not obeyed.
        remarks: What a person should look at on the guest.
        standings: Where each share stands.
        since: Since when.
        now_s: Monotonic clock, which the standings' retry times are of.
        utc: Wall clock.
    """

    identity: Identity
    agent: AgentInfo
    heartbeat_s: float
    mode: Mode
    desired: Desired
    revision_seen: int
    problem: ShareError | None
    remarks: tuple[str, ...]
    standings: Mapping[ShareId, Standing]
    since: Mapping[ShareId, datetime]
    now_s: float
    utc: datetime


def build_report(facts: Facts) -> VmStatus:
    """Build the guest's status."""
    rows = [_row(standing, facts) for standing in facts.standings.values()]
    rows += [
        ShareStatus(
            id=element.id or "",
            mount_point=element.mount_point,
            backend=element.backend,
            state=ShareState.REJECTED,
            error=ShareError(code=ErrorCode.BAD_SPEC, message=element.reason),
        )
        for element in facts.desired.rejected
        if element.id not in facts.desired.unusable
    ]
    # A duplicate's row comes before the row of the share that it repeats, which is the one that counts.
    rows.sort(key=lambda row: (row.mount_point, row.state is not ShareState.REJECTED, row.id))
    return VmStatus(
        vm=facts.identity.vm,
        hostname=facts.identity.hostname,
        revision=max(facts.revision_seen, facts.desired.revision),
        held_revision=facts.desired.revision,
        boot_id=facts.identity.boot_id,
        heartbeat_s=facts.heartbeat_s,
        agent=facts.agent,
        mode=facts.mode,
        problem=facts.problem,
        remarks=tuple(remark[:_REMARK_CHARACTERS] for remark in facts.remarks[:_REMARKS_AT_MOST]),
        shares=tuple(rows),
        reported_at=facts.utc,
        extra={"vm_from": facts.identity.taken_from},
    )


def _row(standing: Standing, facts: Facts) -> ShareStatus:
    retry_at = None
    if standing.retry_at_s is not None:
        retry_at = facts.utc + timedelta(seconds=max(standing.retry_at_s - facts.now_s, 0.0))
    return ShareStatus(
        id=standing.share_id,
        mount_point=standing.mount_point,
        backend=standing.backend,
        digest=standing.digest,
        state=standing.state,
        since=facts.since.get(standing.share_id),
        attempts=standing.attempts,
        error=_error(standing.fault, retry_at),
    )


def _error(fault: Fault | None, retry_at: datetime | None) -> ShareError | None:
    if fault is None:
        return None
    return ShareError(code=fault.code, message=fault.message, detail=fault.detail, retry_at=retry_at)
