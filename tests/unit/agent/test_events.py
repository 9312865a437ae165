"""What becomes an event: a change of a share's state, or of why it fails."""

from __future__ import annotations

from agent.events import build_changes
from agent.reconcile.phase import Fault
from agent.reconcile.standing import Standing
from tests.fakes.clock import EPOCH
from weft.errors import ErrorCode
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareState

AUTH = Fault(ErrorCode.AUTH, "cannot mount share 'a': the key is refused")
UNREACHABLE = Fault(ErrorCode.UNREACHABLE, "cannot reach x (attempt 1)")


def standings(**states: tuple[ShareState, Fault | None]) -> dict[ShareId, Standing]:
    return {
        ShareId(name): Standing(ShareId(name), f"/mnt/{name}", "bind", "d", state, fault=fault)
        for name, (state, fault) in states.items()
    }


def kinds(before: dict[ShareId, Standing] | None, after: dict[ShareId, Standing]) -> list[tuple[str, str, str]]:
    changes = build_changes(before, after, vm=VmId("vm-7"), revision=5, utc=EPOCH)
    return [(change.kind, change.event.share, change.event.code) for change in changes]


def test_every_new_state_is_an_event() -> None:
    """With its reason, where it has one; what stays as it is makes none."""
    before = standings(a=(ShareState.MOUNTING, None), b=(ShareState.MOUNTED, None))
    after = standings(a=(ShareState.FAILED, AUTH), b=(ShareState.MOUNTED, None))
    (change,) = build_changes(before, after, vm=VmId("vm-7"), revision=5, utc=EPOCH)
    assert change.kind == "share.failed"
    assert (change.event.share, change.event.state, change.event.code) == ("a", "failed", "auth")
    assert (change.event.message, change.event.revision, change.event.at) == (AUTH.message, 5, EPOCH)


def test_another_kind_of_failure_is_an_event_and_another_text_is_not() -> None:
    """A text may count attempts; an event for each would drown the others."""
    before = standings(a=(ShareState.BACKOFF, UNREACHABLE))
    same = standings(a=(ShareState.BACKOFF, Fault(ErrorCode.UNREACHABLE, "cannot reach x (attempt 2)")))
    assert kinds(before, same) == []
    assert kinds(before, standings(a=(ShareState.BACKOFF, AUTH))) == [("share.backoff", "a", "auth")]


def test_a_share_that_left_is_gone() -> None:
    """It is neither wanted nor mounted any more."""
    assert kinds(standings(a=(ShareState.UNMOUNTING, None)), {}) == [("share.gone", "a", "")]


def test_what_an_earlier_agent_mounted_is_no_news() -> None:
    """The first look of an agent tells what is wrong, not that everything is as before."""
    found = standings(a=(ShareState.MOUNTED, None), b=(ShareState.PENDING, None))
    assert kinds(None, found) == [("share.pending", "b", "")]
