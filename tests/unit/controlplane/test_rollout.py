"""Rollouts: who has which edition at every moment, and what becomes of a rollout once it is known how it goes."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.class_edits import build_delete_class
from controlplane.edits import Audience, Details, build_publish, build_unpublish
from controlplane.projection import Members, project, receivers
from controlplane.records import (
    CatalogSnapshot,
    Rollout,
    RolloutState,
    ShareRecord,
    decode_record,
    encode_record,
    with_edits,
)
from controlplane.refresh import refreshed
from controlplane.rollout import (
    Next,
    Pacing,
    Tally,
    advance,
    begin,
    judge_step,
    parse_wave,
    pause,
    place,
    resume,
    split,
    stop,
    undo,
)
from tests.unit.controlplane.makers import AUTHOR, members_of, record, snapshot
from weft.errors import CatalogError, ConfigError
from weft.wire.ids import ClassName, ShareId, VmId

CLASS = tuple(f"vm-{number}" for number in range(20))
ALGEBRA = members_of({"algebra": CLASS})
ORDER = sorted((VmId(vm) for vm in CLASS), key=lambda vm: place(ShareId("a"), vm))
OLD = record("a", classes=("algebra",), readonly=True)
NEW = record("a", classes=("algebra",))


def begun(old: ShareRecord | None = OLD, members: Members = ALGEBRA, **pacing: object) -> ShareRecord:
    vms = receivers(NEW, members) | (receivers(old, members) if old is not None else frozenset())
    return begin(old, NEW, Pacing(**{"waves": (10, 50), **pacing}), vms, AUTHOR.at)  # type: ignore[arg-type]


def rollout_of(item: ShareRecord) -> Rollout:
    assert item.rollout is not None
    return item.rollout


def gone_on(item: ShareRecord, members: Members = ALGEBRA) -> ShareRecord:
    return advance(item, rollout_of(item), receivers(item, members) | receivers(NEW, members), AUTHOR.at)


def editions_of(item: ShareRecord | None, members: Members = ALGEBRA, vms: tuple[str, ...] = CLASS) -> dict[str, str]:
    """Say which edition each VM has: old ones can only be read, new ones written."""
    catalog = snapshot(*([item] if item is not None else []))
    lists = project(catalog, members, [VmId(vm) for vm in vms]).lists
    return {vm: "".join("old" if shared.share.readonly else "new" for shared in shares) for vm, shares in lists.items()}


def with_new(item: ShareRecord) -> int:
    return list(editions_of(item).values()).count("new")


def test_waves_grow_to_everybody() -> None:
    """Each wave is a part of all VMs, and after the last one there is a single edition."""
    item = begun()
    seen = [with_new(item)]
    while rollout_of(item).is_open:
        item = gone_on(item)
        seen.append(with_new(item))
    assert seen == [2, 10, 20, 20]
    assert (rollout_of(item).state, rollout_of(item).previous) == (RolloutState.DONE, None)


def test_the_canary_goes_first() -> None:
    """It is the head of the same order that the waves follow."""
    item = begun(canary=1, max_failed=5)
    assert [vm for vm, has in editions_of(item).items() if has == "new"] == [ORDER[0]]
    assert rollout_of(item).tolerated == 0
    item = gone_on(item)
    assert {vm for vm, has in editions_of(item).items() if has == "new"} == set(ORDER[:2])
    assert rollout_of(item).tolerated == 5


def test_a_part_of_a_vm_is_a_whole_vm() -> None:
    """Ten percent of three is one, so that a wave is never empty."""
    few = members_of({"algebra": CLASS[:3]})
    assert list(editions_of(begun(members=few), few, CLASS[:3]).values()).count("new") == 1


def test_a_new_share_is_nowhere_but_in_its_wave() -> None:
    """There is no edition before, so the others have nothing."""
    assert sorted(editions_of(begun(None)).values()) == [""] * 18 + ["new"] * 2


def test_a_member_that_joins_waits_for_its_place() -> None:
    """It gets the edition before, unless its place in the order has been reached; nobody else moves."""
    item = begun()
    strangers = [f"late-{number}" for number in range(50)]
    late = [vm for vm in strangers if place(ShareId("a"), VmId(vm)) > rollout_of(item).cutoff]
    larger = members_of({"algebra": (*CLASS, *late)})
    after = editions_of(item, larger, (*CLASS, *late))
    assert {after[vm] for vm in late} == {"old"}
    assert {vm: after[vm] for vm in CLASS} == editions_of(item)


def test_targets_that_differ_between_editions_change_in_the_waves_too() -> None:
    """A class that the new edition adds has nothing before its wave; one that it leaves out keeps the old one."""
    members = members_of({"left": ("vm-1", "vm-2", "vm-3"), "right": ("vm-4", "vm-5", "vm-6")})
    old, new = record("a", classes=("left",), readonly=True), record("a", classes=("right",))
    item = begin(old, new, Pacing(waves=(50,)), receivers(old, members) | receivers(new, members), AUTHOR.at)
    vms = tuple(sorted(members[ClassName("left")] | members[ClassName("right")]))
    reached, others = split(item, [VmId(vm) for vm in vms])
    assert len(reached) == 3
    assert editions_of(item, members, vms) == {
        vm: ("new" if vm in members[ClassName("right")] else "")
        if vm in reached
        else ("old" if vm in members[ClassName("left")] else "")
        for vm in reached | others
    }


def test_undo_brings_back_the_edition_before() -> None:
    """Everybody has it again, in the same bytes."""
    before = undo(gone_on(begun()))
    assert before is not None
    assert encode_record(before) == encode_record(OLD)
    assert undo(begun(None)) is None


def test_starting_over_keeps_the_edition_that_was_before() -> None:
    """There are never three: who had the bad edition returns to the old one until its wave."""
    again = begun(gone_on(begun()))
    assert with_new(again) == 2
    assert rollout_of(again).previous == OLD


def test_a_record_with_two_editions_survives_the_catalog() -> None:
    """What is stored is what is read."""
    item = stop(begun(canary=2, max_failed=3), "too bad")
    assert decode_record(encode_record(item)) == item


def test_the_edition_before_shows_no_secret() -> None:
    """A repr of a rollout is as safe as one of a share."""
    block = {"volume": "v", "masters": ["m:1"], "owner": "o", "secret_key": "hush-hush"}
    assert "hush-hush" not in repr(begun(record("a", classes=("algebra",), cubefs=block)))


@pytest.mark.parametrize(
    ("tally", "late", "expected"),
    [
        pytest.param(Tally(converged=2), False, Next.GO_ON, id="everybody has it"),
        pytest.param(Tally(), False, Next.GO_ON, id="there is nobody"),
        pytest.param(Tally(converged=1, struggling=1), False, Next.WAIT, id="one is at it"),
        pytest.param(Tally(converged=1, failed=1), False, Next.GO_ON, id="as many failed as may"),
        pytest.param(Tally(converged=9, failed=2), False, Next.STOP, id="too many failed"),
        pytest.param(Tally(struggling=9, failed=2), False, Next.STOP, id="too many failed while others are at it"),
        pytest.param(Tally(converged=9, struggling=2), True, Next.STOP, id="too many are still at it"),
        pytest.param(Tally(converged=9, struggling=1), True, Next.GO_ON, id="one will not get there"),
        pytest.param(Tally(converged=1, silent=8), False, Next.GO_ON, id="the silent do not count"),
        pytest.param(Tally(silent=2), True, Next.WAIT, id="nobody reports, so nothing is known"),
        pytest.param(Tally(failed=1, silent=1), False, Next.STOP, id="the only one that reports failed"),
    ],
)
def test_a_step_is_judged_by_how_it_went(tally: Tally, late: bool, expected: Next) -> None:
    """Failures stop it, time lets it wait, and success lets it go on."""
    rollout = rollout_of(begun(max_failed=1))
    now = AUTHOR.at + timedelta(seconds=rollout.patience_s if late else 1)
    assert judge_step(rollout, tally, now)[0] is expected


def test_one_failed_canary_stops_it() -> None:
    """However many may fail later."""
    verdict, why = judge_step(rollout_of(begun(canary=2, max_failed=5)), Tally(converged=1, failed=1), AUTHOR.at)
    assert (verdict, why) == (Next.STOP, "1 of 2 VMs failed, and 0 may")


def test_pausing_and_resuming_move_nobody() -> None:
    """The clock of the step starts again, so that waiting is no failure."""
    item = pause(begun())
    later = AUTHOR.at + timedelta(hours=5)
    again = resume(item, later)
    assert (rollout_of(item).state, rollout_of(again).state) == (RolloutState.PAUSED, RolloutState.RUNNING)
    assert rollout_of(again).step_at == later
    assert editions_of(item) == editions_of(again) == editions_of(begun())
    with pytest.raises(CatalogError, match="it is paused"):
        pause(item)


def test_a_stopped_rollout_goes_on_with_a_higher_limit() -> None:
    """Also in the canary, whose failures count for nothing otherwise."""
    again = rollout_of(resume(stop(begun(canary=1), "1 failed"), AUTHOR.at, max_failed=2))
    assert (again.state, again.tolerated, again.max_failed, again.problem) == (RolloutState.RUNNING, 2, 2, "")


@pytest.mark.parametrize("verb", [pause, undo, lambda item: resume(item, AUTHOR.at), lambda item: stop(item, "x")])
def test_nothing_can_be_done_with_a_rollout_that_is_over(verb: object) -> None:
    """Neither with one that never was."""
    item = begun()
    while rollout_of(item).is_open:
        item = gone_on(item)
    for settled in (item, OLD):
        with pytest.raises(CatalogError):
            verb(settled)  # type: ignore[operator]


@pytest.mark.parametrize("text", ["0", "0%", "101%", "ten", "", "5.5%", "-1"])
def test_a_wave_is_a_percentage(text: str) -> None:
    """Anything else is refused by name."""
    with pytest.raises(ConfigError, match="cannot use wave"):
        parse_wave(text)


@pytest.mark.parametrize("waves", [(50, 10), (10, 10), (0,), (101,)])
def test_waves_must_grow(waves: tuple[int, ...]) -> None:
    """A wave that reaches nobody new is a mistake."""
    with pytest.raises(ConfigError):
        Pacing(waves=waves)


# --- with other commands ----------------------------------------------------------------------------------------------


def published(
    catalog: CatalogSnapshot, item: ShareRecord, pacing: Pacing | None = None, **audience: object
) -> ShareRecord:
    change = build_publish(catalog, ALGEBRA, [item.share], Audience(**audience), Details(), AUTHOR, pacing)  # type: ignore[arg-type]
    return with_edits(catalog, change.edits).shares[ShareId("a")]


def test_publish_in_waves_concerns_everybody_and_reaches_the_first() -> None:
    """Nobody else's list changes."""
    item = published(snapshot(OLD), NEW, Pacing(waves=(10,)))
    assert with_new(item) == 2
    assert rollout_of(item).started_by == "teacher"


def test_the_same_publish_again_changes_nothing() -> None:
    """Running a command again finishes it; it does not start over."""
    item = published(snapshot(OLD), NEW, Pacing(waves=(10,)))
    assert published(snapshot(gone_on(item)), NEW, Pacing(waves=(10,))) == gone_on(item)


def test_a_third_edition_is_refused() -> None:
    """Unless it starts over in waves."""
    third = record("a", priority=7)
    with pytest.raises(CatalogError, match="rollout undo a"):
        published(snapshot(begun()), third)
    assert rollout_of(published(snapshot(begun()), third, Pacing(waves=(10,)))).previous == OLD


def test_a_class_added_meanwhile_gets_what_everybody_has() -> None:
    """The edition before, until its wave."""
    item = published(snapshot(begun()), NEW, vms=(VmId("guest"), VmId("other")))
    new_places = [vm for vm in ("guest", "other") if place(ShareId("a"), VmId(vm)) <= rollout_of(item).cutoff]
    got = editions_of(item, vms=("guest", "other"))
    assert got == {vm: "new" if vm in new_places else "old" for vm in ("guest", "other")}


def test_a_publish_after_the_end_is_for_everybody() -> None:
    """The finished rollout is forgotten."""
    item = begun()
    while rollout_of(item).is_open:
        item = gone_on(item)
    assert published(snapshot(item), record("a", priority=7)).rollout is None
    assert published(snapshot(item), NEW) == item


def test_unpublishing_for_one_vm_takes_both_editions() -> None:
    """It has neither, whether it was reached or not, and not after an undo either."""
    catalog = snapshot(begun())
    for vm in (ORDER[0], ORDER[-1]):
        change = build_unpublish(catalog, ALGEBRA, "a", Audience(vms=(vm,)), AUTHOR)
        item = with_edits(catalog, change.edits).shares[ShareId("a")]
        assert editions_of(item)[vm] == ""
        assert editions_of(undo(item))[vm] == ""


def test_a_disabled_share_is_nowhere_in_any_edition() -> None:
    """Saved is not mounted."""
    assert set(editions_of(msgspec.structs.replace(begun(), enabled=False)).values()) == {""}


def test_a_refresh_reaches_both_editions() -> None:
    """New content is there for everybody."""
    having = receivers(begun(), ALGEBRA)
    item = begun().with_editions(lambda edition: refreshed(edition, having, having, AUTHOR))
    lists = project(snapshot(item), ALGEBRA, having).lists
    assert {shares[0].share.refresh for shares in lists.values()} == {1}


def test_deleting_a_class_takes_it_from_both_editions() -> None:
    """Otherwise nothing could be computed any more: the class is not there to be asked."""
    editions = {"share.a": 2, "class.algebra": 3} | {f"member.algebra.{vm}": 4 for vm in CLASS}
    catalog = snapshot(begun(), members={"algebra": CLASS}, editions=editions)
    change = build_delete_class(catalog, AUTHOR, name="algebra", with_shares=True)
    item = with_edits(catalog, change.edits).shares[ShareId("a")]
    assert all(not edition.targets.classes for edition in item.editions)


@given(
    steps=st.lists(st.sampled_from(["advance", "pause", "resume", "stop", "join", "leave"]), max_size=12),
    waves=st.sets(st.integers(1, 100), min_size=1, max_size=4).map(sorted).map(tuple),
    canary=st.integers(0, 3),
    size=st.integers(0, 25),
    is_new=st.booleans(),
)
def test_whatever_happens_nobody_is_early_and_undo_restores(
    steps: list[str], waves: tuple[int, ...], canary: int, size: int, is_new: bool
) -> None:
    """No VM has two editions, none has the new one before its place was reached, none loses it again, undo ends it."""
    present = [f"vm-{number}" for number in range(size)]
    members = members_of({"algebra": tuple(present)})
    old = None if is_new else OLD
    item = begun(old, members, waves=waves, canary=canary)
    had: set[str] = set()
    for index, step in enumerate(steps):
        rollout = rollout_of(item)
        match step:
            case "advance" if rollout.is_open:
                item = gone_on(item, members)
            case "pause" if rollout.state is RolloutState.RUNNING:
                item = pause(item)
            case "resume" if rollout.is_open:
                item = resume(item, AUTHOR.at)
            case "stop" if rollout.is_open:
                item = stop(item, "why")
            case "join":
                present.append(f"late-{index}")
            case "leave" if present:
                present.pop(0)
            case _:
                continue
        members = members_of({"algebra": tuple(present)})
        now = editions_of(item, members, tuple(present))
        rollout = rollout_of(item)
        allowed = {vm for vm in present if not rollout.is_open or place(ShareId("a"), VmId(vm)) <= rollout.cutoff}
        assert {vm for vm, has in now.items() if has == "new"} == allowed
        assert {now[vm] for vm in present if vm not in allowed} <= {"" if is_new else "old"}
        assert had & set(present) <= allowed
        had |= allowed
    if rollout_of(item).is_open:
        before = editions_of(undo(item), members, tuple(present))
        assert before == editions_of(old, members, tuple(present))
