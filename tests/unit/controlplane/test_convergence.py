"""Whether a guest has what was published to it."""

from __future__ import annotations

import pytest

from controlplane.convergence import Goal, Lacking, goals_of, judge, judge_claim
from controlplane.heard import ASSUMED_HEARTBEAT_S, build_heard, is_stale, takes_turns
from controlplane.results import FanOut
from controlplane.stored import StoredMessage
from weft.errors import ErrorCode
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus, encode_status

VM = VmId("vm-1")
A = ShareId("a")
GOAL = Goal(revision=5, shares={A: "d1"})


def report(
    *states: ShareState,
    held: int = 5,
    digest: str = "d1",
    error: ShareError | None = None,
    problem: ShareError | None = None,
) -> VmStatus:
    shares = tuple(ShareStatus(id="a", state=state, digest=digest, error=error) for state in states)
    return VmStatus(vm="vm-1", held_revision=held, revision=5, shares=shares, problem=problem)


def standing(lacking: Lacking | None) -> str:
    if lacking is None:
        return "converged"
    return ("failed" if lacking.is_failed else "waiting") + (" for good" if lacking.is_final else "")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ShareState.PENDING, "waiting"),
        (ShareState.MOUNTING, "waiting"),
        (ShareState.MOUNTED, "converged"),
        (ShareState.DEGRADED, "failed"),
        (ShareState.BACKOFF, "failed"),
        (ShareState.FAILED, "failed for good"),
        (ShareState.DRAINING, "waiting"),
        (ShareState.UNMOUNTING, "waiting"),
        (ShareState.HELD, "failed for good"),
        (ShareState.SHADOWED, "converged"),
        (ShareState.REJECTED, "failed for good"),
        (ShareState.EXPIRED, "converged"),
    ],
)
def test_every_state_of_a_wanted_share_has_a_meaning(state: ShareState, expected: str) -> None:
    """Retried failures are still waited for, final ones are not."""
    assert standing(judge(VM, GOAL, report(state))) == expected


def test_a_change_that_was_refused_for_good_is_not_waited_for() -> None:
    """The old mount stays and works, but only a changed spec will change it."""
    refused = ShareError(code=ErrorCode.AUTH, message="cannot use the new keys")
    again = ShareError(code=ErrorCode.UNREACHABLE, message="no answer")

    assert standing(judge(VM, GOAL, report(ShareState.DEGRADED, digest="d0", error=refused))) == "failed for good"
    assert standing(judge(VM, GOAL, report(ShareState.DEGRADED, digest="d0", error=again))) == "failed"


def test_an_older_revision_is_not_converged() -> None:
    """The same digest may be mounted from before; what counts is that the new state is obeyed."""
    assert standing(judge(VM, GOAL, report(ShareState.MOUNTED, held=4))) == "waiting"


def test_another_digest_is_not_converged() -> None:
    """The former state is still mounted."""
    assert standing(judge(VM, GOAL, report(ShareState.MOUNTED, digest="d0"))) == "waiting"


def test_a_vm_that_was_sent_nothing_and_is_to_have_nothing_is_not_waited_for() -> None:
    """It left long ago, and may be off for ever; one that still has the share is waited for all the same."""
    goal = goals_of(FanOut(unchanged={VM: 5}, expected={VM: {A: None}}))[VM]

    assert standing(judge(VM, goal, None)) == "converged"
    assert standing(judge(VM, goal, report(held=4))) == "converged"
    assert standing(judge(VM, goal, report(ShareState.MOUNTED, held=4))) == "waiting"


def test_a_share_to_be_gone_is_converged_once_it_is_absent() -> None:
    """Until then it is being unmounted."""
    goal = Goal(revision=5, shares={A: None})
    assert judge(VM, goal, report()) is None
    assert standing(judge(VM, goal, report(ShareState.DRAINING))) == "waiting"
    assert standing(judge(VM, goal, report(ShareState.FAILED))) == "failed"


def test_a_refused_message_fails_with_the_guests_reason() -> None:
    """The guest saw the revision and says why it does not obey."""
    problem = ShareError(code=ErrorCode.CONFLICT, message="cannot accept revision 5")
    lacking = judge(VM, GOAL, report(held=4, problem=problem))
    assert standing(lacking) == "failed for good"
    assert lacking is not None
    assert lacking.problem.message == "cannot accept revision 5"


def test_a_vm_that_never_reported_is_waited_for() -> None:
    """Unless nothing is wanted of it."""
    assert standing(judge(VM, GOAL, None)) == "waiting"
    assert judge(VM, Goal(), None) is None


def test_the_error_of_the_share_reaches_the_operator() -> None:
    """Code, message and next try, as the guest says them."""
    error = ShareError(code=ErrorCode.UNREACHABLE, message="no answer")
    lacking = judge(VM, GOAL, report(ShareState.BACKOFF, error=error))
    assert lacking is not None
    assert (lacking.problem.code, lacking.problem.message) == (ErrorCode.UNREACHABLE, "no answer")
    assert lacking.problem.share_id == "a"


def test_a_fan_out_becomes_a_goal_for_every_vm() -> None:
    """What was not stored can never be reported; what is unknown is judged by its digests."""
    fan_out = FanOut(
        stored={VmId("s"): 7},
        unchanged={VmId("u"): 6},
        failed={VmId("f"): "full"},
        unknown={VmId("k"): "lost"},
        expected={VmId(vm): {A: "d1"} for vm in "sufk"},
    )
    goals = goals_of(fan_out)
    assert goals[VmId("s")] == Goal(7, {A: "d1"})
    assert goals[VmId("u")] == Goal(6, {A: "d1"})
    assert goals[VmId("k")] == Goal(0, {A: "d1"})
    assert standing(judge(VmId("f"), goals[VmId("f")], None)) == "failed for good"


@pytest.mark.parametrize(
    ("boot_ids", "two"),
    [
        (["a", "a", "a"], False),
        (["a", "b", "b"], False),
        (["a", "b", "c"], False),
        (["a", "b", "a"], True),
        ([], False),
    ],
)
def test_only_a_boot_id_that_comes_back_means_two_guests(boot_ids: list[str], two: bool) -> None:
    """A reboot changes it once."""
    assert takes_turns(boot_ids) is two


def test_a_guest_is_stale_after_three_missed_heartbeats() -> None:
    """By its own word on how often it reports, or a minute."""
    assert not is_stale(VmStatus(vm="v", heartbeat_s=10), 30)
    assert is_stale(VmStatus(vm="v", heartbeat_s=10), 31)
    assert not is_stale(VmStatus(vm="v"), 3 * ASSUMED_HEARTBEAT_S)


def test_an_unreadable_report_does_not_hide_an_older_one() -> None:
    """One broken message is not the end of what is known."""
    good = encode_status(VmStatus(vm="v", boot_id="b"))
    heard = build_heard([StoredMessage("s", 1, good, 10.0), StoredMessage("s", 2, b"{", 20.0)])
    assert heard.status is not None
    assert heard.status.boot_id == "b"
    assert heard.reported_at_s == 20.0


def test_two_guests_with_one_id_are_a_failure_that_names_them() -> None:
    """What one of them has says nothing about the other."""
    lacking = judge_claim(VM, ("one", "two"))
    assert (lacking.is_failed, lacking.is_final, lacking.problem.code) == (True, True, ErrorCode.CONFLICT)
    assert lacking.problem.message == "two guests claim vm-1: boot ids one, two"
