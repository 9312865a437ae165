"""What operators' commands change in the catalog."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.class_edits import (
    build_add_members,
    build_create_class,
    build_delete_class,
    build_remove_members,
    build_set_members,
)
from controlplane.decide import Survey
from controlplane.edits import Change, Details, build_publish, build_unpublish, parse_audience
from controlplane.records import CatalogSnapshot, ShareRecord, Targets, with_edits
from controlplane.takeover import build_take_over
from tests.unit.controlplane.makers import AUTHOR, ids, last, members_of, record, share, snapshot, vms
from weft.errors import CatalogError, DecodeError, SubjectError, UnknownNameError
from weft.wire.ids import ShareId, VmId
from weft.wire.share import Action, ShareMount

CLASS = {"algebra": ("vm-1", "vm-2", "vm-3")}


def publish(catalog: CatalogSnapshot, item: ShareMount, *, disabled: bool = False, **audience: Any) -> Change:
    members = members_of(CLASS)
    details = Details(disabled=disabled)
    return build_publish(catalog, members, [item], parse_audience(**audience), details, AUTHOR)


def unpublish(catalog: CatalogSnapshot, share_id: str, **audience: Any) -> Change:
    return build_unpublish(catalog, members_of(CLASS), share_id, parse_audience(**audience), AUTHOR)


def after(catalog: CatalogSnapshot, change: Change, share_id: str) -> ShareRecord:
    return with_edits(catalog, change.edits).shares[ShareId(share_id)]


def test_a_new_share_needs_to_be_for_somebody() -> None:
    """A share for nobody is a forgotten flag, unless it is only to be saved."""
    with pytest.raises(CatalogError, match="--class"):
        publish(snapshot(), share("a"))
    saved = publish(snapshot(), share("a"), disabled=True)
    assert after(snapshot(), saved, "a").enabled is False
    assert saved.affected == frozenset()


def test_publishing_over_a_record_that_cannot_be_read_asks_for_whom() -> None:
    """Adding to targets that nobody knows would take it from whoever has it."""
    catalog = snapshot(bad={"share.a": "nonsense"})
    with pytest.raises(CatalogError, match="--only"):
        publish(catalog, share("a"), vms=["vm-1"])
    assert after(catalog, publish(catalog, share("a"), vms=["vm-1"], only=True), "a").targets.vms == ("vm-1",)


def test_publishing_adds_targets() -> None:
    """What was there stays."""
    catalog = snapshot(record("a", vms=("vm-9",)))
    change = publish(catalog, share("a"), classes=["algebra"])
    assert after(catalog, change, "a").targets == Targets(vms=("vm-9",), classes=("algebra",))
    assert change.affected == vms("vm-1", "vm-2", "vm-3", "vm-9")


def test_only_replaces_targets() -> None:
    """Whoever is left out loses the share, so they are concerned too."""
    catalog = snapshot(record("a", vms=("vm-9",), excepted=("vm-2",)))
    change = publish(catalog, share("a"), classes=["algebra"], only=True)
    assert after(catalog, change, "a").targets == Targets(classes=("algebra",))
    assert "vm-9" in change.affected


def test_an_existing_share_keeps_its_targets() -> None:
    """Publishing again without targets changes the share, not whom it is for."""
    catalog = snapshot(record("a", classes=("algebra",)))
    change = publish(catalog, share("a", priority=2))
    assert after(catalog, change, "a").targets.classes == ("algebra",)
    assert after(catalog, change, "a").share.priority == 2


def test_an_unchanged_share_is_not_written_again() -> None:
    """But everybody it is for is looked at, so that an interrupted publish is finished by repeating it."""
    catalog = snapshot(record("a", classes=("algebra",)))
    change = publish(catalog, share("a"))
    assert change.edits == ()
    assert change.affected == vms("vm-1", "vm-2", "vm-3")


def test_naming_a_vm_ends_its_exception() -> None:
    """The newest wish counts."""
    catalog = snapshot(record("a", classes=("algebra",), excepted=("vm-2",)))
    assert after(catalog, publish(catalog, share("a"), vms=["vm-2"]), "a").targets.excepted == ()


def test_an_empty_class_is_warned_about() -> None:
    """It is no error: its VMs may come later."""
    change = build_publish(
        snapshot(), members_of({"empty": ()}), [share("a")], parse_audience(classes=["empty"]), Details(), AUTHOR
    )
    assert change.warnings == ("class 'empty' has no VMs yet",)
    assert len(change.edits) == 1


@pytest.mark.parametrize(
    ("item", "field"),
    [
        pytest.param(share("a", mount_point="/etc/x"), "mount_point", id="a system directory"),
        pytest.param(ShareMount(id="a", action=Action.UNMOUNT), "action", id="an unmount"),
    ],
)
def test_what_must_not_be_published_is_refused(item: ShareMount, field: str) -> None:
    """Before anything is written."""
    with pytest.raises(DecodeError) as caught:
        publish(snapshot(), item, vms=["vm-1"])
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["vm*", "a.b", "a b", "a/b", ""])
def test_names_that_are_no_token_are_refused(name: str) -> None:
    """They never reach NATS."""
    with pytest.raises(SubjectError):
        parse_audience(vms=[name])


def test_unpublish_ends_the_share() -> None:
    """The record goes; everybody who got it is concerned."""
    catalog = snapshot(record("a", classes=("algebra",)))
    change = unpublish(catalog, "a")
    assert with_edits(catalog, change.edits).shares == {}
    assert change.edits[0].expected_seq == catalog.editions["share.a"]
    assert change.affected == vms("vm-1", "vm-2", "vm-3")


def test_unpublish_for_a_member_makes_an_exception() -> None:
    """Afterwards that VM does not have the share, although its class gives it."""
    catalog = snapshot(record("a", vms=("vm-1", "vm-9"), classes=("algebra",)))
    change = unpublish(catalog, "a", vms=["vm-1", "vm-9"])
    assert after(catalog, change, "a").targets == Targets(classes=("algebra",), excepted=("vm-1",))
    assert change.affected == vms("vm-1", "vm-9")


def test_unpublish_names_the_nearest_share() -> None:
    """A typing mistake is an error with a suggestion."""
    with pytest.raises(UnknownNameError, match="tools"):
        unpublish(snapshot(record("tools", vms=("vm-1",))), "tool")


def test_unpublish_says_who_did_not_have_it() -> None:
    """Nothing to do is worth a word."""
    catalog = snapshot(record("a", classes=("algebra",)))
    assert unpublish(catalog, "a", vms=["vm-9"]).warnings == ("vm-9 does not have share 'a'",)


def test_members_are_added_one_key_each() -> None:
    """Two operators adding different VMs do not meet."""
    catalog = snapshot(members={"algebra": ("vm-1",)})
    change = build_add_members(catalog, AUTHOR, name="algebra", vms=["vm-1", "vm-2"])
    assert [edit.key for edit in change.edits] == ["member.algebra.vm-2"]
    assert change.affected == vms("vm-1", "vm-2")


def test_removing_a_member_names_it() -> None:
    """Losing its class's shares is what was asked for."""
    catalog = snapshot(members={"algebra": ("vm-1", "vm-2")}, editions={"member.algebra.vm-1": 4})
    change = build_remove_members(catalog, AUTHOR, name="algebra", vms=["vm-1", "vm-8"])
    assert [(edit.key, edit.data, edit.expected_seq) for edit in change.edits] == [("member.algebra.vm-1", None, 4)]
    assert "vm-1" in change.intent.named_vms
    assert change.warnings == ("vm-8 is not in class 'algebra'",)


def test_setting_members_names_nobody() -> None:
    """Whoever falls out was not named, so a wrong file asks first."""
    catalog = snapshot(members={"algebra": ("vm-1", "vm-2")}, editions={"member.algebra.vm-1": 4})
    change = build_set_members(catalog, AUTHOR, name="algebra", vms=["vm-2", "vm-3"])
    assert {edit.key: edit.data is None for edit in change.edits} == {
        "member.algebra.vm-3": False,
        "member.algebra.vm-1": True,
    }
    assert change.intent.named_vms == frozenset()
    assert change.affected == vms("vm-1", "vm-2", "vm-3")


def test_a_class_with_shares_is_not_deleted_by_accident() -> None:
    """With them, the shares stay in the catalog without this target."""
    catalog = snapshot(
        record("a", vms=("vm-9",), classes=("algebra",)),
        members=CLASS,
        editions={"share.a": 2, "class.algebra": 3, **{f"member.algebra.vm-{n}": 3 + n for n in (1, 2, 3)}},
    )
    with pytest.raises(CatalogError, match="--with-shares"):
        build_delete_class(catalog, AUTHOR, name="algebra", with_shares=False)
    change = build_delete_class(catalog, AUTHOR, name="algebra", with_shares=True)
    later = with_edits(catalog, change.edits)
    assert later.members == {}
    assert later.shares[ShareId("a")].targets == Targets(vms=("vm-9",))
    assert change.affected == vms("vm-1", "vm-2", "vm-3")


def test_unknown_and_existing_classes() -> None:
    """Members need a class; a class is made once."""
    catalog = snapshot(members={"algebra": ()})
    with pytest.raises(UnknownNameError, match="algebra"):
        build_add_members(catalog, AUTHOR, name="algebr", vms=["vm-1"])
    with pytest.raises(CatalogError, match="exists"):
        build_create_class(catalog, AUTHOR, name="algebra")


def take_over(
    catalog: CatalogSnapshot, message: dict[str, Any], *named: str
) -> tuple[CatalogSnapshot, tuple[str, ...]]:
    survey = Survey({VmId("vm-1"): last(message), VmId("vm-2"): last(message)}, {})
    edits, warnings = build_take_over(catalog, members_of(CLASS), survey, ids(*named), AUTHOR)
    return with_edits(catalog, edits), warnings


SINGLE = {"id": "x", "mount_point": "/srv/x", "cubefs": {"volume": "v", "masters": ["m1:17010"], "owner": "o"}}


def test_a_single_mount_is_taken_into_the_catalog() -> None:
    """One record for all VMs on which it was found."""
    later, warnings = take_over(snapshot(), SINGLE)
    assert later.shares[ShareId("x")].targets.vms == ("vm-1", "vm-2")
    assert later.shares[ShareId("x")].share == share("x")
    assert warnings == ()


def test_a_single_unmount_takes_the_vm_from_the_share() -> None:
    """As if an operator had unpublished it there."""
    later, _ = take_over(snapshot(record("x", classes=("algebra",))), {"id": "x", "action": "unmount"})
    assert later.shares[ShareId("x")].targets == Targets(classes=("algebra",), excepted=("vm-1", "vm-2"))


def test_a_single_that_contradicts_the_catalog_is_left_alone() -> None:
    """Neither side's share is replaced behind the operator's back."""
    catalog = snapshot(record("x", vms=("vm-9",), priority=5))
    later, warnings = take_over(catalog, SINGLE)
    assert later.shares == catalog.shares
    assert len(warnings) == 2


def test_a_single_does_not_replace_a_record_that_cannot_be_read() -> None:
    """A newer version may have written it."""
    later, warnings = take_over(snapshot(bad={"share.x": "nonsense"}), SINGLE)
    assert (later.shares, len(warnings)) == ({}, 2)


def test_the_command_decides_about_the_share_it_names() -> None:
    """An unpublish is not undone by the single it meets."""
    later, _ = take_over(snapshot(), SINGLE, "x")
    assert later.shares == {}
