"""What VMs report about a new edition, counted; and the commands on rollouts."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from controlplane.heard import Heard
from controlplane.projection import Projection, project
from controlplane.records import CatalogSnapshot, RolloutState, ShareRecord, with_edits
from controlplane.rollout import Next, Pacing, Tally, begin, pause, stop
from controlplane.rollout_edits import build_spread, build_step, build_undo
from controlplane.rollout_standing import RolloutStanding, build_standing
from tests.unit.controlplane.makers import AUTHOR, last, record, snapshot
from weft.errors import ErrorCode
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus, encode_status

VM = VmId("vm-1")
OLD = record("a", vms=("vm-1",), readonly=True)
NEW = record("a", vms=("vm-1",))
BOTH = begin(OLD, NEW, Pacing(waves=(100,)), [VM], AUTHOR.at)
SENT = {VM: last({"vm": "vm-1", "revision": 7, "shares": []})}
BROKER_NOW_S = 1000.0


def reporting(state: ShareState, item: ShareRecord = NEW, *, held: int = 7, age_s: float = 1.0) -> dict[VmId, Heard]:
    failure = ShareError(code=ErrorCode.AUTH, message="no") if state is ShareState.FAILED else None
    share = ShareStatus(id="a", state=state, digest=share_digest(item.share), error=failure)
    status = VmStatus(vm="vm-1", held_revision=held, heartbeat_s=10, shares=(share,))
    return {VM: Heard((encode_status(status),), BROKER_NOW_S - age_s)}


def standing(
    heard: dict[VmId, Heard], item: ShareRecord = BOTH, projection: Projection | None = None
) -> RolloutStanding:
    assert item.rollout is not None
    lists = projection or project(snapshot(item), {}, [VM])
    return build_standing(item, item.rollout, {}, lists, SENT, heard, broker_now_s=BROKER_NOW_S, now=AUTHOR.at)


@pytest.mark.parametrize(
    ("heard", "tally"),
    [
        pytest.param(reporting(ShareState.MOUNTED), Tally(converged=1), id="has it"),
        pytest.param(reporting(ShareState.MOUNTED, age_s=900), Tally(converged=1), id="had it before it fell silent"),
        pytest.param(reporting(ShareState.FAILED), Tally(failed=1), id="cannot have it"),
        pytest.param(reporting(ShareState.FAILED, held=6), Tally(struggling=1), id="failed before it was told"),
        pytest.param(reporting(ShareState.BACKOFF), Tally(struggling=1), id="tries again"),
        pytest.param(reporting(ShareState.MOUNTED, OLD), Tally(struggling=1), id="still has the edition before"),
        pytest.param(reporting(ShareState.BACKOFF, age_s=31), Tally(silent=1), id="missed its heartbeats"),
        pytest.param({}, Tally(silent=1), id="never reported"),
        pytest.param({VM: Heard((b"?",), BROKER_NOW_S)}, Tally(silent=1), id="says nothing that can be read"),
    ],
)
def test_every_vm_is_counted_once(heard: dict[VmId, Heard], tally: Tally) -> None:
    """By its own report about what it was sent."""
    assert standing(heard).tally == tally


def test_a_list_that_cannot_be_computed_is_a_failure() -> None:
    """The VM will never have it."""
    problem = Projection(problems={VM: "share 'a': too long"})
    assert standing(reporting(ShareState.MOUNTED), projection=problem).tally == Tally(failed=1)


@pytest.mark.parametrize(
    "item",
    [pause(BOTH), stop(BOTH, "why"), msgspec.structs.replace(BOTH, enabled=False)],
    ids=["paused", "stopped", "disabled"],
)
def test_what_does_not_run_is_not_judged(item: ShareRecord) -> None:
    """However well it goes."""
    assert standing(reporting(ShareState.MOUNTED), item).verdict is Next.WAIT


def test_the_step_has_a_name() -> None:
    """The canary is not counted among the waves."""
    three = begin(OLD, NEW, Pacing(waves=(10, 50), canary=2), [VM], AUTHOR.at)
    assert standing({}, three).outline == "running at canary 2"
    assert standing({}, stop(BOTH, "1 failed")).outline == "stopped at wave 1 of 1 (100%): 1 failed"


# --- commands ---------------------------------------------------------------------------------------------------------


def after(catalog: CatalogSnapshot, problem: str = "", expected: ShareRecord = BOTH) -> ShareRecord:
    assert expected.rollout is not None
    change = build_step(catalog, {}, "a", AUTHOR, expected=expected.rollout, problem=problem)
    return with_edits(catalog, change.edits).shares[ShareId("a")]


def test_a_step_is_made_from_what_was_judged() -> None:
    """One step on, or standing still with the reason."""
    on, held = after(snapshot(BOTH)).rollout, after(snapshot(BOTH), "2 failed").rollout
    assert on is not None
    assert held is not None
    assert (on.state, held.state, held.problem) == (RolloutState.DONE, RolloutState.STOPPED, "2 failed")


@pytest.mark.parametrize("meanwhile", [pause(BOTH), stop(BOTH, "why"), OLD], ids=["paused", "stopped", "undone"])
def test_a_step_that_somebody_forestalled_is_not_made(meanwhile: ShareRecord) -> None:
    """The verdict was about another moment."""
    assert after(snapshot(meanwhile)) == meanwhile


def test_a_step_is_not_made_twice() -> None:
    """Two who judged the same moment do not go two steps on."""
    waves = begin(OLD, NEW, Pacing(waves=(10, 50)), [VM], AUTHOR.at)
    once = after(snapshot(waves), expected=waves)
    assert once != waves
    assert after(snapshot(once), expected=waves) == once


def test_a_verdict_from_before_a_resume_does_not_count() -> None:
    """The operator has just said that it may go on."""
    assert BOTH.rollout is not None
    resumed = msgspec.structs.replace(
        BOTH, rollout=msgspec.structs.replace(BOTH.rollout, step_at=AUTHOR.at + timedelta(minutes=1))
    )
    assert after(snapshot(resumed), "2 failed") == resumed


def test_commands_on_rollouts_name_their_share_and_may_be_repeated() -> None:
    """So nobody is asked about it, and another operator's change in between does not matter."""
    catalog = snapshot(BOTH)
    pausing = build_spread(catalog, {}, "a", AUTHOR, action="rollout.pause", change=pause)
    undoing = build_undo(catalog, {}, "a", AUTHOR)
    for change in (pausing, undoing):
        assert (change.intent.named, change.is_repeatable, change.affected) == (
            frozenset({ShareId("a")}),
            True,
            frozenset({VM}),
        )
    assert with_edits(catalog, undoing.edits).shares[ShareId("a")].share == OLD.share
