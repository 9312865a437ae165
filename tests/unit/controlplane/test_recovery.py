"""A catalog rebuilt from stored lists publishes the same lists."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controlplane.adoption import build_adoption, marks_of
from controlplane.identity import decode_identity
from controlplane.messages import LastMessage
from controlplane.projection import Members, project
from controlplane.records import CatalogSnapshot, RemoteRecord, with_edits
from controlplane.recovery import build_recovery
from tests.unit.controlplane.makers import AUTHOR, last, members_of, record, share, snapshot
from weft.errors import CatalogError
from weft.wire.ids import RemoteName, ShareId, VmId
from weft.wire.share import ShareMount, share_to_builtins

Lists = dict[str, list[ShareMount]]


def stored(lists: Lists, seq: int = 500) -> dict[VmId, LastMessage]:
    return {
        VmId(vm): last(
            {
                "vm": vm,
                "revision": 7,
                "catalog": {"id": "lost", "seq": seq},
                "shares": [share_to_builtins(item) for item in shares],
            }
        )
        for vm, shares in lists.items()
    }


def recovered(lists: Lists, before: CatalogSnapshot | None = None, members: Members | None = None) -> CatalogSnapshot:
    catalog = before or CatalogSnapshot(id="empty", seq=1)
    change, _ = build_recovery(catalog, members or {}, stored(lists), AUTHOR, "new")
    assert change.affected == frozenset()
    return with_edits(catalog, change.edits)


def lists_of(catalog: CatalogSnapshot, members: Members, lists: Lists) -> Lists:
    projection = project(catalog, members, [VmId(vm) for vm in lists])
    return {vm: [item.share for item in shares] for vm, shares in projection.lists.items()}


@pytest.mark.parametrize(
    "lists",
    [
        pytest.param({"vm-1": [share("a")], "vm-2": [share("a"), share("b", readonly=True)]}, id="plain"),
        pytest.param({"vm-1": [], "vm-2": [share("a")]}, id="an empty list"),
        pytest.param(
            {vm: [share("home", mount_point=f"/home/{vm}")] for vm in ("vm-1", "vm-2", "vm-11")}, id="a folder each"
        ),
        pytest.param({"vm-1": [share("a", refresh=4)], "vm-2": [share("a", refresh=2)]}, id="refreshed for one"),
        pytest.param({"vm-1": [share("home", mount_point="/home/vm-1")]}, id="one VM's folder"),
    ],
)
def test_the_recovered_catalog_gives_every_vm_what_it_has(lists: Lists) -> None:
    """So that the next fan-out changes nobody."""
    assert lists_of(recovered(lists), {}, lists) == lists


def test_classes_owners_and_remotes_stay_as_far_as_the_catalog_has_them() -> None:
    """An older state is brought up to date: new shares, new targets, what ended, nothing else."""
    members = members_of({"algebra": ("vm-1", "vm-2")})
    kept = msgspec.structs.replace(record("a", classes=("algebra",)), owner="ada")
    ended = record("old", classes=("algebra",))
    before = snapshot(kept, ended, members={"algebra": ("vm-1", "vm-2")}, id="lost")
    lists: Lists = {"vm-1": [share("a", readonly=True)], "vm-2": [], "vm-3": [share("a", readonly=True)]}
    after = recovered(lists, before, members)
    assert lists_of(after, members, lists) == lists
    assert (after.shares[ShareId("a")].owner, after.shares[ShareId("a")].targets.classes) == ("ada", ("algebra",))
    assert after.shares[ShareId("a")].targets.excepted == ("vm-2",)
    assert after.shares[ShareId("old")].enabled is False


def test_a_share_that_still_fits_its_remote_keeps_it() -> None:
    """One that does not says everything itself."""
    remote = RemoteRecord(backend="cubefs", block={"volume": "v", "masters": ["m1:17010"], "owner": "o"})
    item = msgspec.structs.replace(record("a", vms=("vm-1",)), remote="team")
    before = snapshot(item, remotes={RemoteName("team"): remote}, id="lost")
    assert recovered({"vm-1": [share("a")]}, before).shares[ShareId("a")].remote == "team"
    other = share("a", cubefs={"volume": "w", "masters": ["m1:17010"], "owner": "o"})
    assert recovered({"vm-1": [other]}, before).shares[ShareId("a")].remote == ""


def test_what_differs_from_most_is_said() -> None:
    """One record cannot be two."""
    lists: Lists = {"vm-1": [share("a")], "vm-2": [share("a")], "vm-3": [share("a", readonly=True)]}
    _, plan = build_recovery(CatalogSnapshot(id="e"), {}, stored(lists), AUTHOR, "new")
    (warning,) = plan.warnings
    assert "differs in vm-3" in warning


def test_a_catalog_that_lost_nothing_is_not_recovered() -> None:
    """It would only forget what lists do not tell."""
    with pytest.raises(CatalogError, match="nothing is lost"):
        build_recovery(snapshot(id="lost", seq=500), {}, stored({"vm-1": []}), AUTHOR, "new")


def test_a_successor_knows_its_predecessors_up_to_what_was_published() -> None:
    """Its own earlier id, and those before it, stay known."""
    before = CatalogSnapshot(id="old", seq=9, predecessors={"older": 3})
    edit = build_adoption(before, {"old": 12, "lost": 5}, "new")
    assert edit is not None
    assert decode_identity(edit.data or b"").continues == {"older": 3, "old": 12, "lost": 5}
    assert build_adoption(before, {"old": 9, "older": 3}, "new") is None


def test_marks_are_the_highest_of_each_catalog() -> None:
    """Whatever order the messages come in."""
    texts: list[Any] = [{"shares": [], "catalog": {"id": "c", "seq": seq}} for seq in (3, 7, 5)]
    assert marks_of(last(text) for text in [*texts, {"shares": []}]) == {"c": 7}
