"""The gate: what each arriving message makes of the held state."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.desired import (
    DAY_MS,
    Accepted,
    Conflict,
    Desired,
    Origin,
    Refused,
    Stale,
    Stamp,
    Unchanged,
    Verdict,
    accept,
    accept_boot,
)
from tests.parts.shares import bind, mount_set, unmount
from weft.wire.codec import Message, decode_message
from weft.wire.ids import VmId

NOW_MS = 1_800_000_000_000
EMPTY = Desired(VmId("vm-7"))
A, B, C = bind("a"), bind("b"), bind("c")


def stamp(seq: int) -> Stamp:
    return Stamp(seq * 1000, seq)


def take(desired: Desired, message: Message, at: Stamp | None = None) -> Desired:
    verdict = accept(desired, message, at, now_ms=NOW_MS)
    assert isinstance(verdict, Accepted), verdict
    return verdict.desired


def judge(desired: Desired, message: Message, at: Stamp | None = None) -> Verdict:
    return accept(desired, message, at, now_ms=NOW_MS)


def raw(revision: int, *elements: Any, **fields: Any) -> Message:
    return decode_message(json.dumps({"vm": "vm-7", "revision": revision, "shares": elements, **fields}).encode())


def test_a_newer_list_is_accepted_and_says_what_changed() -> None:
    """Only ids that came, went or differ are named."""
    held = take(EMPTY, mount_set(5, A, B))
    verdict = judge(held, mount_set(6, A, bind("b", readonly=True), C))
    assert isinstance(verdict, Accepted)
    assert verdict.changed == {"b", "c"}
    assert verdict.desired.shares.keys() == {"a", "b", "c"}


def test_the_same_revision_with_the_same_content_changes_nothing() -> None:
    """A repetition, in any order of its shares, is no news."""
    assert judge(take(EMPTY, mount_set(5, A, B)), mount_set(5, B, A)) == Unchanged()


def test_the_same_revision_with_other_content_is_a_conflict() -> None:
    """Two publishers gave one number to two states."""
    assert judge(take(EMPTY, mount_set(5, A)), mount_set(5, B)) == Conflict(5)


def test_an_older_list_is_stale_and_names_the_held_revision() -> None:
    """The revision decides, not the place in the stream."""
    held = take(EMPTY, mount_set(5, A), stamp(9))
    assert judge(held, mount_set(4, B), stamp(10)) == Stale(4, 5, is_old_copy=False)
    assert judge(held, mount_set(4, B), stamp(3)) == Stale(4, 5, is_old_copy=True)


def test_a_lower_stream_sequence_does_not_make_a_newer_revision_old() -> None:
    """A recreated stream starts counting again."""
    held = take(EMPTY, mount_set(5, A), stamp(900))
    assert take(held, mount_set(6, B), Stamp(2000, 1)).shares.keys() == {"b"}


def test_a_list_for_another_vm_is_refused() -> None:
    """Also with a newer revision."""
    verdict = judge(take(EMPTY, mount_set(5, A)), mount_set(6, vm="vm-8"))
    assert isinstance(verdict, Refused)
    assert "vm-8" in verdict.reason


def test_a_single_that_names_another_vm_is_refused() -> None:
    """Singles have no vm; one that has must have ours."""
    message = decode_message(json.dumps({"id": "a", "action": "unmount", "vm": "vm-8"}).encode())
    assert isinstance(judge(EMPTY, message), Refused)


@pytest.mark.parametrize(
    ("revision", "broker_ms", "is_accepted"),
    [
        pytest.param(NOW_MS + DAY_MS, None, True, id="a day ahead"),
        pytest.param(NOW_MS + DAY_MS + 1, None, False, id="more than a day ahead of the guest, unstored"),
        pytest.param(NOW_MS + DAY_MS + 1, NOW_MS - 1, False, id="more than a day ahead of both clocks"),
        pytest.param(NOW_MS + DAY_MS + 1, NOW_MS + 1, True, id="the guest's clock is behind the broker's"),
    ],
)
def test_a_revision_from_the_far_future_is_refused(revision: int, broker_ms: int | None, is_accepted: bool) -> None:
    """It would lock out every later publish; one wrong clock alone refuses nothing."""
    at = Stamp(broker_ms * 1_000_000, 1) if broker_ms is not None else None
    assert isinstance(judge(EMPTY, mount_set(revision, A), at), Accepted if is_accepted else Refused)


def test_a_share_left_out_of_a_complete_list_goes() -> None:
    """That is how a list unmounts."""
    assert take(take(EMPTY, mount_set(5, A, B)), mount_set(6, B)).shares.keys() == {"b"}


def test_an_empty_list_takes_everything_of_lists_away() -> None:
    """An empty list is an order, unlike an empty stream."""
    held = take(take(EMPTY, mount_set(5, A)), mount_set(6))
    assert not held.shares
    assert held.is_complete


def test_a_single_replaces_one_share_and_leaves_the_others() -> None:
    """The Go publisher sends these."""
    held = take(take(EMPTY, mount_set(5, A, B), stamp(1)), bind("a", readonly=True), stamp(2))
    assert held.shares["b"].share == B
    assert held.shares["a"].share.readonly


def test_singles_survive_lists_that_do_not_know_them() -> None:
    """A list is complete for what lists brought."""
    held = take(take(EMPTY, A, stamp(1)), mount_set(5, B), stamp(2))
    assert held.shares.keys() == {"a", "b"}


def test_gone_takes_a_single_away() -> None:
    """The publisher names it until the guest agrees."""
    held = take(take(EMPTY, A, stamp(1)), mount_set(5, B, gone=("a",)), stamp(2))
    assert held.shares.keys() == {"b"}
    assert held.dismissed == ("a",)


def test_a_list_that_contains_a_singles_id_takes_it_over() -> None:
    """The next list without it takes it away."""
    held = take(take(EMPTY, A, stamp(1)), mount_set(5, A), stamp(2))
    assert held.shares["a"].origin is Origin.SET
    assert not take(held, mount_set(6)).shares


def test_a_single_unmount_takes_only_its_id_away() -> None:
    """Whoever brought it."""
    held = take(take(EMPTY, mount_set(5, A, B), stamp(1)), unmount("a"), stamp(2))
    assert held.shares.keys() == {"b"}
    assert held.dismissed == ("a",)


def test_a_single_mount_after_its_unmount_is_wanted_again() -> None:
    """A dismissal is forgotten as soon as the id is wanted."""
    held = take(take(take(EMPTY, A, stamp(1)), unmount("a"), stamp(2)), A, stamp(3))
    assert held.shares.keys() == {"a"}
    assert held.dismissed == ()


def test_an_old_copy_of_a_single_is_ignored() -> None:
    """A lagging replica serves the mount after its unmount was accepted."""
    held = take(take(EMPTY, A, stamp(1)), unmount("a"), stamp(2))
    assert isinstance(judge(held, A, stamp(1)), Stale)
    assert judge(held, unmount("a"), stamp(2)) == Unchanged()


def test_a_single_that_is_older_than_the_held_list_is_ignored() -> None:
    """Its publisher's list had seen it."""
    held = take(EMPTY, mount_set(5, B), stamp(7))
    assert isinstance(judge(held, A, stamp(6)), Stale)


def test_the_brokers_time_orders_singles_before_its_sequence() -> None:
    """A recreated stream counts from one again, later."""
    held = take(EMPTY, A, Stamp(1000, 900))
    assert take(held, unmount("a"), Stamp(2000, 1)).shares == {}


def test_a_bad_element_keeps_what_its_id_had() -> None:
    """It is reported as rejected instead."""
    held = take(EMPTY, mount_set(5, A, B))
    after = take(held, raw(6, {"id": "a", "action": "remount", "mount_point": "/mnt/a"}))
    assert after.shares.keys() == {"a"}
    assert after.unusable == {"a"}
    assert after.is_complete


def test_an_unreadable_id_takes_nothing_away() -> None:
    """Any held share could be the one that cannot be read."""
    held = take(take(EMPTY, mount_set(5, A, B)), C, stamp(1))
    after = take(held, raw(6, {"id": "../a", "mount_point": "/mnt/a"}, gone=["c"]), stamp(2))
    assert after.shares.keys() == {"a", "b", "c"}
    assert not after.is_complete


def test_a_duplicate_id_rejects_the_later_element_only() -> None:
    """The first one is mounted."""
    first = {"id": "a", "backend": "bind", "mount_point": "/mnt/1", "bind": {"source": "/srv/a"}}
    after = take(EMPTY, raw(6, first, first | {"mount_point": "/mnt/2"}))
    assert after.shares["a"].share.mount_point == "/mnt/1"
    assert [element.id for element in after.rejected] == ["a"]
    assert after.unusable == frozenset()


def test_an_unmount_at_the_top_of_a_list_is_obeyed_for_a_single() -> None:
    """The top level is what agents that know only singles obey; both must agree."""
    held = take(EMPTY, A, stamp(1))
    after = take(held, raw(6, id="a", action="unmount", mount_point="/mnt/a"), stamp(2))
    assert not after.shares


def test_boot_shares_survive_lists_and_singles_of_others() -> None:
    """Nobody published them, so nobody's list knows them."""
    booted = accept_boot(EMPTY, [A], is_complete=True)
    assert isinstance(booted, Accepted)
    assert take(take(booted.desired, mount_set(5, B)), C).shares.keys() == {"a", "b", "c"}


def test_the_stream_wins_over_the_boot_file() -> None:
    """Its share stands, and its dismissal too."""
    other = bind("a", readonly=True)
    assert accept_boot(take(EMPTY, mount_set(5, other)), [A], is_complete=True) == Unchanged()
    assert accept_boot(take(EMPTY, unmount("a"), stamp(1)), [A], is_complete=True) == Unchanged()


def test_a_share_that_left_the_boot_file_goes() -> None:
    """Unless an element's id could not be read."""
    booted = accept_boot(EMPTY, [A, B], is_complete=True)
    assert isinstance(booted, Accepted)
    after = accept_boot(booted.desired, [A], is_complete=True)
    assert isinstance(after, Accepted)
    assert after.desired.shares.keys() == {"a"}
    assert accept_boot(booted.desired, [A], is_complete=False) == Unchanged()
