"""The report: what stands in the status of a guest."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

from agent.desired import Accepted, Desired, accept
from agent.identity import Identity
from agent.reconcile.phase import Fault
from agent.reconcile.standing import Standing
from agent.report import Facts, build_report
from tests.fakes.clock import EPOCH
from tests.parts.shares import bind
from weft.errors import ErrorCode
from weft.wire.codec import decode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.share import share_to_builtins
from weft.wire.status import AgentInfo, Mode, ShareState, decode_status, encode_status

FACTS = Facts(
    identity=Identity(VmId("vm-7"), "test", "host", "boot"),
    agent=AgentInfo(version="1", started_at=EPOCH, backends={"bind": None}),
    heartbeat_s=30.0,
    mode=Mode.JETSTREAM,
    desired=Desired(VmId("vm-7"), revision=5),
    revision_seen=6,
    problem=None,
    remarks=(),
    standings={},
    since={},
    now_s=1000.0,
    utc=EPOCH,
)


def standing(name: str, state: ShareState, **fields: object) -> Standing:
    return Standing(ShareId(name), f"/mnt/{name}", "bind", "d1", state, **fields)  # type: ignore[arg-type]


def test_the_newest_and_the_held_revision_stand_side_by_side() -> None:
    """They differ while the newest is refused."""
    status = build_report(FACTS)
    assert (status.revision, status.held_revision) == (6, 5)


def test_retry_times_are_told_by_the_wall_clock() -> None:
    """The loop itself counts monotonic seconds."""
    fault = Fault(ErrorCode.UNREACHABLE, "cannot reach it", "connection refused")
    row = standing("a", ShareState.BACKOFF, fault=fault, retry_at_s=1010.0, attempts=3)
    share = build_report(replace(FACTS, standings={row.share_id: row})).shares[0]
    assert share.error is not None
    assert share.error.retry_at == EPOCH + timedelta(seconds=10)
    assert (share.attempts, share.error.detail) == (3, "connection refused")


def test_rejected_elements_are_listed_also_without_an_id() -> None:
    """A duplicate's row comes before the row that counts."""
    first = share_to_builtins(bind("a"))
    message = {"vm": "vm-7", "revision": 9, "shares": [first, first, {"mount_point": "/mnt/x"}]}
    verdict = accept(FACTS.desired, decode_message(json.dumps(message).encode()), None, now_ms=10**13)
    assert isinstance(verdict, Accepted)
    row = standing("a", ShareState.MOUNTED)
    status = build_report(replace(FACTS, desired=verdict.desired, standings={row.share_id: row}))
    assert [(each.id, each.state) for each in status.shares] == [
        ("a", ShareState.REJECTED),
        ("a", ShareState.MOUNTED),
        ("", ShareState.REJECTED),
    ]


def test_the_report_survives_the_wire() -> None:
    """Both sides read the same."""
    row = standing("a", ShareState.MOUNTED)
    status = build_report(replace(FACTS, standings={row.share_id: row}, since={row.share_id: EPOCH}))
    assert decode_status(encode_status(status)) == status
