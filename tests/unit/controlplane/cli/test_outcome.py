"""What operators read after a fan-out and after a wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from controlplane.cli.outcome import (
    changes_of,
    fan_out_record,
    outcome_record,
    problems_of,
    summary_of,
    trouble_of,
    verdict_of,
)
from controlplane.results import FanOut, Outcome, VmProblem
from weft.errors import ErrorCode
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareState

NOW = datetime(2027, 1, 1, tzinfo=UTC)
DOCS = ShareId("docs")
A, B, C, D = (VmId(name) for name in ("vm-a", "vm-b", "vm-c", "vm-d"))
MIXED = FanOut(
    share_ids=(DOCS,),
    stored={A: 7},
    unchanged={B: 5},
    failed={D: "the stream is full"},
    unknown={C: "the answer was lost"},
    expected={A: {DOCS: "0123456789abcdef"}, B: {DOCS: None}},
)
FAILED = VmProblem(A, DOCS, ShareState.BACKOFF, ErrorCode.UNREACHABLE, "cannot reach\nx", NOW + timedelta(seconds=12))
WAITING = VmProblem(B, None, None, None, "never reported")


def test_the_summary_counts_every_kind() -> None:
    """Kinds that do not occur are left out, stored never is."""
    assert summary_of(MIXED, what="published docs") == (
        "published docs: 4 VMs (1 stored, 1 unchanged, 1 failed, 1 unknown)"
    )
    assert summary_of(FanOut(stored={A: 1}), what="synced") == "synced: 1 VM (1 stored)"
    assert summary_of(FanOut(), what="synced", dry_run=True) == "synced: 0 VMs (0 to change)"


def test_each_vm_that_was_not_stored_is_named_with_its_reason() -> None:
    """Failed and unknown are told apart."""
    assert trouble_of(MIXED) == ["vm-c   unknown      the answer was lost", "vm-d   not stored   the stream is full"]


def test_a_dry_run_names_what_each_vm_would_get() -> None:
    """Shares that would come show their digest, shares that would go say so."""
    assert changes_of(MIXED) == ["vm-a   change      docs (01234567)", "vm-b   unchanged   docs gone"]


def test_a_wait_tells_each_vm_code_message_and_next_try() -> None:
    """One line per VM, whatever the guest's message holds."""
    outcome = Outcome(converged=(C,), failed={A: FAILED}, waiting={B: WAITING})

    assert verdict_of(outcome, timeout_s=60) == "not converged: 1 of 3 VMs within 60 s, 1 failed, 1 waiting"
    assert problems_of(outcome, now=NOW) == [
        "vm-a   docs   backoff   unreachable   cannot reach x; next try in 12 s",
        "vm-b   -      -         -             never reported",
    ]


def test_a_converged_wait_is_one_line() -> None:
    """Nothing to explain, nothing explained."""
    outcome = Outcome(converged=(A, B))

    assert verdict_of(outcome, timeout_s=60) == "converged: 2 VMs"
    assert problems_of(outcome, now=NOW) == []


def test_records_name_every_vm() -> None:
    """Programs get the same facts as people."""
    assert fan_out_record(MIXED)["unknown"] == {C: "the answer was lost"}
    assert outcome_record(Outcome(failed={A: FAILED}))["failed"][A] == {
        "share": "docs",
        "state": "backoff",
        "code": "unreachable",
        "message": "cannot reach\nx",
        "retry_at": "2027-01-01T00:00:12+00:00",
    }
