"""Raising a share's refresh number, for everybody or for a few."""

from __future__ import annotations

import pytest

from controlplane.edits import Audience, Details, published
from controlplane.projection import project
from controlplane.records import ShareRecord, decode_record, encode_record, with_edits
from controlplane.refresh import build_refresh, refreshed
from tests.unit.controlplane.makers import AUTHOR, members_of, record, share, snapshot, vms
from weft.errors import UnknownNameError
from weft.wire.digest import mount_digest, share_digest
from weft.wire.ids import VmId

MEMBERS = members_of({"algebra": ("vm-1", "vm-2", "vm-3")})


def numbers(item: ShareRecord) -> dict[str, int]:
    projection = project(snapshot(item), MEMBERS, vms("vm-1", "vm-2", "vm-3"))
    return {vm: shares[0].share.refresh for vm, shares in projection.lists.items()}


def test_a_refresh_for_everybody_raises_the_shares_own_number() -> None:
    """Every VM that has it is concerned, and nothing of it asks for a remount."""
    old = record("a", classes=("algebra",))
    change = build_refresh(snapshot(old), MEMBERS, "a", AUTHOR)
    assert change.affected == vms("vm-1", "vm-2", "vm-3")
    new = with_edits(snapshot(old), change.edits).shares[old.share_id]
    assert numbers(new) == {"vm-1": 1, "vm-2": 1, "vm-3": 1}
    assert mount_digest(new.share) == mount_digest(old.share)
    assert share_digest(new.share) != share_digest(old.share)


def test_a_refresh_for_one_vm_of_a_class_leaves_the_others_alone() -> None:
    """Only its list differs, also after the catalog was read again."""
    old = record("a", classes=("algebra",))
    change = build_refresh(snapshot(old), MEMBERS, "a", AUTHOR, vms=vms("vm-2"))
    assert change.affected == vms("vm-2")
    new = with_edits(snapshot(old), change.edits).shares[old.share_id]
    assert numbers(decode_record(encode_record(new))) == {"vm-1": 0, "vm-2": 1, "vm-3": 0}


def test_each_refresh_is_above_every_earlier_one() -> None:
    """A number that fell, or stood still, would refresh nothing."""
    having = vms("vm-1", "vm-2", "vm-3")
    once = refreshed(record("a", classes=("algebra",)), having, vms("vm-2"), AUTHOR)
    twice = refreshed(once, having, vms("vm-1"), AUTHOR)
    assert numbers(twice) == {"vm-1": 2, "vm-2": 1, "vm-3": 0}
    everybody = refreshed(twice, having, having, AUTHOR)
    assert numbers(everybody) == {"vm-1": 3, "vm-2": 3, "vm-3": 3}
    assert everybody.refreshes == {}


def test_numbers_of_vms_that_left_are_dropped() -> None:
    """The record must not grow with everybody who was ever here."""
    gone = refreshed(record("a", classes=("algebra",)), vms("vm-8", "vm-9"), vms("vm-9"), AUTHOR)
    assert refreshed(gone, vms("vm-1", "vm-2"), vms("vm-1"), AUTHOR).refreshes == {"vm-1": 2}


def test_a_vm_that_does_not_have_the_share_is_said() -> None:
    """Nothing is changed for it, and a share that does not exist is an error."""
    old = record("a", classes=("algebra",))
    change = build_refresh(snapshot(old), MEMBERS, "a", AUTHOR, vms=vms("vm-7"))
    assert (change.edits, change.affected) == ((), frozenset())
    assert change.warnings == ("vm-7 does not have share 'a'",)
    with pytest.raises(UnknownNameError):
        build_refresh(snapshot(old), MEMBERS, "b", AUTHOR)


def test_publishing_again_takes_no_refresh_back() -> None:
    """The same spec after a refresh changes nothing in any VM."""
    before = refreshed(record("a", classes=("algebra",)), vms("vm-1"), vms("vm-1"), AUTHOR)
    after = published(before, share("a"), Audience(), Details(), AUTHOR)
    assert after.share == before.share


def test_refresh_and_placeholder_go_together() -> None:
    """A VM's own number and its own folder are both in its list."""
    mine = record("home", vms=("vm-1", "vm-2"), mount_point="/home/{vm}")
    new = refreshed(mine, vms("vm-1", "vm-2"), vms("vm-1"), AUTHOR)
    lists = project(snapshot(new), {}, vms("vm-1", "vm-2")).lists
    assert [(item.share.mount_point, item.share.refresh) for item in lists[VmId("vm-1")]] == [("/home/vm-1", 1)]
    assert [(item.share.mount_point, item.share.refresh) for item in lists[VmId("vm-2")]] == [("/home/vm-2", 0)]
