"""The plan: which steps may begin, in which order, and where each share stands meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from agent.desired import Desired, Entry, Origin
from agent.reconcile.live import LiveShare, Presence
from agent.reconcile.phase import UNMOUNT, Fault, Phase, StepKind, begin, fail, succeed, suffer, toward
from agent.reconcile.plan import Plan, plan
from tests.fakes.clock import EPOCH
from tests.parts.shares import bind
from weft.errors import ErrorCode
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

NOW_S = 1000.0
A, B = bind("a"), bind("b")
PARENT, CHILD = bind("parent", "/mnt/p"), bind("child", "/mnt/p/c")
FAULT = Fault(ErrorCode.UNREACHABLE, "cannot reach it")
PERMANENT = Fault(ErrorCode.AUTH, "cannot log in", is_permanent=True)


def desire(*shares: ShareMount, is_complete: bool = True, dismissed: tuple[str, ...] = ()) -> Desired:
    entries = {share.share_id: Entry.of(share, Origin.SET) for share in shares}
    ids = tuple(ShareId(each) for each in dismissed)
    return Desired(VmId("vm-7"), revision=1, shares=entries, is_complete=is_complete, dismissed=ids)


def standing(*shares: ShareMount, presence: Presence = Presence.MOUNTED) -> dict[ShareId, LiveShare]:
    return {share.share_id: LiveShare(share, share_digest(share), presence) for share in shares}


def make(
    desired: Desired,
    live: Mapping[ShareId, LiveShare] | None = None,
    phases: Mapping[str, Phase] | None = None,
    *,
    held: tuple[str, ...] = (),
    now_s: float = NOW_S,
) -> Plan:
    return plan(
        desired,
        {ShareId(key): phase for key, phase in (phases or {}).items()},
        live or {},
        held=frozenset(ShareId(each) for each in held),
        now_s=now_s,
        utc=EPOCH,
    )


def steps(made: Plan) -> list[str]:
    return [f"{step.kind} {step.share.id}" for step in made.steps]


def state(made: Plan, share_id: str) -> ShareState:
    return made.standings[ShareId(share_id)].state


def failed(share: ShareMount, fault: Fault = FAULT, *, kind: StepKind = StepKind.MOUNT, attempts: int = 1) -> Phase:
    """Return the phase of a share whose step failed just now."""
    goal = UNMOUNT if kind is StepKind.UNMOUNT else share_digest(share)
    return Phase(goal, attempts=attempts, fault=fault, due_s=NOW_S + 10)


def running(share: ShareMount, kind: StepKind = StepKind.MOUNT) -> Phase:
    live = standing(share) if kind is StepKind.UNMOUNT else {}
    first = make(desire() if kind is StepKind.UNMOUNT else desire(share), live).steps[0]
    return begin(Phase(), first)


def test_everything_wanted_and_absent_is_mounted_at_once() -> None:
    """Independent shares do not wait for each other."""
    made = make(desire(A, B))
    assert steps(made) == ["mount a", "mount b"]
    assert state(made, "a") is ShareState.PENDING
    assert not made.is_settled


def test_unchanged_is_untouched() -> None:
    """Same digest and there: no step, whatever else happens."""
    made = make(desire(A), standing(A))
    assert steps(made) == []
    assert state(made, "a") is ShareState.MOUNTED
    assert made.is_settled


def test_a_changed_share_is_replaced_in_one_step() -> None:
    """The engine checks the new one before it takes the old one away."""
    changed = bind("a", readonly=True)
    assert [step.share for step in make(desire(changed), standing(A)).steps] == [changed]


def test_priority_alone_remounts_nothing() -> None:
    """It changes who wins, not what is mounted."""
    assert steps(make(desire(bind("a", priority=5)), standing(A))) == []


def test_what_left_a_complete_list_is_unmounted() -> None:
    """Its mount is an orphan then."""
    made = make(desire(B), standing(A, B))
    assert steps(made) == ["unmount a"]
    assert state(made, "a") is ShareState.UNMOUNTING


def test_nothing_is_unmounted_for_not_being_mentioned_in_an_incomplete_list() -> None:
    """Silence is not an order."""
    made = make(desire(B, is_complete=False), standing(A, B))
    assert steps(made) == []
    assert state(made, "a") is ShareState.MOUNTED


def test_a_dismissed_share_is_unmounted_without_any_list() -> None:
    """A single unmount names it."""
    assert steps(make(desire(is_complete=False, dismissed=("a",)), standing(A, B))) == ["unmount a"]


def test_what_an_unusable_element_has_mounted_stays() -> None:
    """Also where nothing else is known of it."""
    desired = replace(desire(B), unusable=frozenset({ShareId("a")}))
    assert steps(make(desired, standing(A, B))) == []


def test_children_come_after_their_parents_first_attempt() -> None:
    """A parent mounted later would cover them."""
    assert steps(make(desire(CHILD, PARENT))) == ["mount parent"]
    assert steps(make(desire(CHILD, PARENT), {}, {"parent": running(PARENT)})) == []
    assert steps(make(desire(CHILD, PARENT), standing(PARENT))) == ["mount child"]


def test_a_child_does_not_wait_for_a_parent_that_failed() -> None:
    """One attempt is all it waits for."""
    made = make(desire(CHILD, PARENT), {}, {"parent": failed(PARENT)})
    assert steps(made) == ["mount child"]
    assert state(made, "parent") is ShareState.BACKOFF


def test_children_go_before_their_parents() -> None:
    """Deepest first."""
    assert steps(make(desire(), standing(PARENT, CHILD))) == ["unmount child"]
    assert steps(make(desire(), standing(PARENT))) == ["unmount parent"]


def test_a_parent_that_comes_later_is_checked_before_its_children_go_down() -> None:
    """They go only for a mount that has a chance; then it mounts, then they return."""
    desired, live = desire(PARENT, CHILD), standing(CHILD)
    due = replace(failed(PARENT), due_s=NOW_S)
    made = make(desired, live, {"parent": due})
    assert steps(made) == ["check parent"]
    checked = succeed(begin(due, made.steps[0]), now_s=NOW_S)
    down = make(desired, live, {"parent": checked})
    assert steps(down) == ["unmount child"]
    gone = succeed(begin(Phase(), down.steps[0]), now_s=NOW_S)
    assert steps(make(desired, {}, {"parent": checked, "child": gone})) == ["mount parent"]
    assert steps(make(desired, standing(PARENT), {"child": gone})) == ["mount child"]


def test_a_parent_whose_check_failed_leaves_its_children_alone() -> None:
    """It waits for its next try."""
    made = make(desire(PARENT, CHILD), standing(CHILD), {"parent": failed(PARENT)})
    assert steps(made) == []
    assert state(made, "child") is ShareState.MOUNTED


def test_children_of_a_replaced_parent_go_down_first() -> None:
    """A mount with others upon it cannot be taken away."""
    changed = bind("parent", "/mnt/p", readonly=True)
    checked = Phase(share_digest(changed), is_checked=True)
    assert steps(make(desire(changed, CHILD), standing(PARENT, CHILD))) == ["check parent"]
    assert steps(make(desire(changed, CHILD), standing(PARENT, CHILD), {"parent": checked})) == ["unmount child"]


def test_a_live_change_leaves_children_alone() -> None:
    """Nothing is remounted for it."""
    refreshed = bind("parent", "/mnt/p", refresh=1)
    made = make(desire(refreshed, CHILD), standing(PARENT, CHILD))
    assert [step.share for step in made.steps] == [refreshed]


def test_children_stay_down_while_the_parent_that_goes_is_still_there() -> None:
    """They would be in its way again."""
    child_down = Phase(UNMOUNT)
    made = make(desire(CHILD), standing(PARENT), {"child": child_down})
    assert steps(made) == ["unmount parent"]
    assert steps(make(desire(CHILD), standing(PARENT), {"parent": running(PARENT, StepKind.UNMOUNT)})) == []


def test_under_a_dead_parent_nothing_is_unmounted_one_by_one() -> None:
    """The parent is detached with all that stands on it."""
    dead = suffer(Phase(share_digest(PARENT)), Fault(ErrorCode.EXITED, "it died"), now_s=NOW_S, jitter=0)
    assert steps(make(desire(PARENT, CHILD), standing(PARENT, CHILD), {"parent": dead})) == ["mount parent"]
    assert steps(make(desire(), standing(PARENT, CHILD), {"parent": dead})) == ["unmount parent"]


def test_a_hung_mount_is_degraded_and_left_to_its_client() -> None:
    """Most recover by themselves."""
    hung = Phase(share_digest(A), ailment=Fault(ErrorCode.HUNG, "it hangs", is_standing=True))
    made = make(desire(A), standing(A), {"a": hung})
    assert steps(made) == []
    assert state(made, "a") is ShareState.DEGRADED


def test_at_most_one_step_works_at_a_mount_point() -> None:
    """The newcomer waits until the old share is really gone."""
    old, new = bind("old", "/mnt/x"), bind("new", "/mnt/x")
    assert steps(make(desire(new), standing(old))) == ["unmount old"]
    assert steps(make(desire(new), standing(old), {"old": running(old, StepKind.UNMOUNT)})) == []


def test_nothing_is_mounted_over_a_failed_unmount() -> None:
    """It would hide a mount that somebody still uses."""
    old, new = bind("old", "/mnt/x"), bind("new", "/mnt/x")
    made = make(desire(new), standing(old), {"old": failed(old, kind=StepKind.UNMOUNT)})
    assert steps(made) == []
    assert made.wake_at_s == NOW_S + 10


def test_a_share_whose_place_a_stray_holds_says_so() -> None:
    """Nothing has told the stray to go, so the newcomer waits."""
    old, new = bind("old", "/mnt/x"), bind("new", "/mnt/x")
    made = make(desire(new, is_complete=False), standing(old))
    assert steps(made) == []
    fault = made.standings[ShareId("new")].fault
    assert fault is not None
    assert fault.code is ErrorCode.CONFLICT


def test_two_shares_that_swap_places_are_not_deadlocked() -> None:
    """Both go down first."""
    before = standing(bind("a", "/mnt/1"), bind("b", "/mnt/2"))
    assert steps(make(desire(bind("a", "/mnt/2"), bind("b", "/mnt/1")), before)) == ["unmount a", "unmount b"]


def test_a_shadowed_share_is_unmounted_and_not_mounted() -> None:
    """A share with a higher priority has its mount point, or one above."""
    top = bind("top", "/mnt/p", priority=1)
    made = make(desire(top, CHILD))
    assert steps(made) == ["mount top"]
    assert state(made, "child") is ShareState.SHADOWED
    assert steps(make(desire(top, CHILD), standing(CHILD))) == ["unmount child"]


def test_a_failed_share_still_shadows() -> None:
    """Which share serves a path must not depend on luck."""
    top = bind("top", "/mnt/p", priority=1)
    assert steps(make(desire(top, CHILD), {}, {"top": failed(top, PERMANENT)})) == []


def test_a_held_share_neither_mounts_nor_shadows() -> None:
    """Its administrator keeps it away."""
    top = bind("top", "/mnt/p", priority=1)
    made = make(desire(top, CHILD), held=("top",))
    assert steps(made) == ["mount child"]
    assert state(made, "top") is ShareState.HELD


def test_an_expired_share_goes_by_the_guests_clock() -> None:
    """And a share that will expire wakes the loop."""
    expired = bind("a", expires_at=EPOCH)
    made = make(desire(expired), standing(expired))
    assert steps(made) == ["unmount a"]
    assert state(make(desire(expired)), "a") is ShareState.EXPIRED
    soon = bind("a", expires_at=EPOCH + timedelta(seconds=5))
    assert make(desire(soon), standing(soon)).wake_at_s == NOW_S + 5


def test_a_failed_share_waits_for_its_time() -> None:
    """And the loop is woken then."""
    made = make(desire(A, B), standing(B), {"a": failed(A)})
    assert steps(made) == []
    assert made.wake_at_s == NOW_S + 10
    assert steps(make(desire(A), {}, {"a": failed(A)}, now_s=NOW_S + 10)) == ["mount a"]


def test_a_permanent_failure_waits_for_a_change() -> None:
    """Trying again would change nothing; a changed spec is tried at once."""
    made = make(desire(A), {}, {"a": failed(A, PERMANENT)}, now_s=NOW_S + 9999)
    assert steps(made) == []
    assert made.wake_at_s is None
    assert made.is_settled
    assert state(made, "a") is ShareState.FAILED
    changed = bind("a", readonly=True)
    assert steps(make(desire(changed), {}, {"a": failed(A, PERMANENT)})) == ["mount a"]


def test_a_raised_refresh_tries_a_failed_share_again() -> None:
    """It is part of what must be made true."""
    refreshed = bind("a", refresh=1)
    assert steps(make(desire(refreshed), {}, {"a": failed(A, PERMANENT)})) == ["mount a"]


def test_a_share_that_cannot_be_replaced_is_degraded() -> None:
    """The old mount stays and is reported by its own digest."""
    changed = bind("a", readonly=True)
    made = make(desire(changed), standing(A), {"a": failed(changed, PERMANENT)})
    assert state(made, "a") is ShareState.DEGRADED
    assert made.standings[ShareId("a")].digest == share_digest(A)


def test_a_vanished_mount_is_mounted_again() -> None:
    """Somebody unmounted it behind our back."""
    assert steps(make(desire(A), standing(A, presence=Presence.ABSENT))) == ["mount a"]


def test_a_mount_lost_soon_after_coming_up_is_repaired_more_slowly() -> None:
    """The first time at once, then with growing delay: somebody may be fighting us."""
    phase = Phase(share_digest(A), attempts=1, mounted_s=NOW_S)
    once = suffer(phase, FAULT, now_s=NOW_S + 1, jitter=0)
    assert once.due_s == NOW_S + 1
    again = suffer(replace(once, mounted_s=NOW_S + 2, ailment=None), FAULT, now_s=NOW_S + 3, jitter=0)
    assert again.due_s > NOW_S + 3
    stable = suffer(replace(again, mounted_s=NOW_S, ailment=None), FAULT, now_s=NOW_S + 3600, jitter=0)
    assert stable.due_s == NOW_S + 3600


def test_binds_wait_for_the_share_that_holds_their_source() -> None:
    """And go down before it."""
    base, shown = bind("base", "/mnt/base"), bind("shown", "/mnt/shown", source="/mnt/base/sub")
    assert steps(make(desire(base, shown))) == ["mount base"]
    assert steps(make(desire(), standing(base, shown))) == ["unmount shown"]
    changed = bind("base", "/mnt/base", readonly=True)
    checked = Phase(share_digest(changed), is_checked=True)
    assert steps(make(desire(changed, shown), standing(base, shown), {"base": checked})) == ["unmount shown"]


def test_binds_that_stand_on_each_other_are_rejected() -> None:
    """And leave the others alone."""
    x, y = bind("x", "/mnt/x", source="/mnt/y/1"), bind("y", "/mnt/y", source="/mnt/x/1")
    made = make(desire(x, y, A))
    assert steps(made) == ["mount a"]
    assert state(made, "x") is ShareState.REJECTED


def test_a_bind_of_its_own_mount_point_is_rejected() -> None:
    """It stands on itself."""
    assert state(make(desire(bind("x", "/mnt/x", source="/mnt/x/sub"))), "x") is ShareState.REJECTED


def test_a_step_that_does_not_reach_its_goal_is_not_repeated_at_once() -> None:
    """An ApplyFunc that succeeds without effect must not make a busy loop."""
    phase = succeed(running(A), now_s=NOW_S)
    made = make(desire(A), {}, {"a": phase})
    assert steps(made) == []
    assert made.wake_at_s is not None
    assert made.wake_at_s > NOW_S


def test_another_goal_starts_counting_anew() -> None:
    """Attempts and due times are about one spec."""
    phase = fail(running(A), FAULT, now_s=NOW_S, jitter=0.5)
    assert phase.attempts == 1
    assert toward(phase, "other").attempts == 0
    assert toward(phase, share_digest(A)) is phase


@pytest.mark.parametrize("count", [100])
def test_a_settled_guest_needs_no_wakeup(count: int) -> None:
    """Nothing polls."""
    shares = [bind(f"s{n}") for n in range(count)]
    made = make(desire(*shares), standing(*shares))
    assert made.is_settled
    assert made.wake_at_s is None
