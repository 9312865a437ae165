"""From the catalog to each VM's complete list."""

from __future__ import annotations

import pytest

from controlplane.messages import NextMessage, compose, compose_list
from controlplane.projection import Projection, expand, project, receivers
from controlplane.records import decode_record, encode_record
from tests.unit.controlplane.makers import MARK, members_of, record, share, snapshot, vms
from weft.wire.codec import decode_message, encode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import MountSet

VM = VmId("vm-1")


def listed(projection: Projection, vm: str) -> list[str]:
    return [item.id for item in projection.lists[VmId(vm)]]


def test_a_vm_gets_what_names_it_and_what_names_its_class() -> None:
    """Both ways of being a target add up, in the order of ids."""
    catalog = snapshot(record("b", vms=("vm-1",)), record("a", classes=("algebra",)), record("c", vms=("vm-2",)))
    projection = project(catalog, members_of({"algebra": ("vm-1", "vm-3")}), vms("vm-1"))
    assert listed(projection, "vm-1") == ["a", "b"]
    assert set(projection.lists) == {"vm-1"}


def test_an_excepted_vm_gets_nothing_whatever_names_it() -> None:
    """An exception wins over a class and over the VM's own name."""
    catalog = snapshot(record("a", vms=("vm-1",), classes=("algebra",), excepted=("vm-1",)))
    projection = project(catalog, members_of({"algebra": ("vm-1", "vm-2")}), vms("vm-1", "vm-2"))
    assert listed(projection, "vm-1") == []
    assert listed(projection, "vm-2") == ["a"]


def test_a_disabled_share_is_nowhere() -> None:
    """Saved is not mounted."""
    disabled = record("a", vms=("vm-1",), enabled=False)
    assert listed(project(snapshot(disabled), {}, vms("vm-1")), "vm-1") == []
    assert receivers(disabled, {}) == frozenset()


def test_a_vm_that_gets_nothing_has_an_empty_list() -> None:
    """Empty is an answer; absent would be none."""
    assert project(snapshot(), {}, vms("vm-1")).lists == {VM: ()}


def test_the_vms_id_replaces_the_placeholder() -> None:
    """One share gives every VM a folder of its own."""
    template = share(
        "home",
        mount_point="/home/{vm}",
        cubefs={"volume": "v", "masters": ["m:1"], "owner": "o", "subdir": "homes/{vm}"},
    )
    mine = expand(template, VM)
    assert mine.mount_point == "/home/vm-1"
    assert mine.cubefs is not None
    assert mine.cubefs.subdir == "homes/vm-1"


def test_the_placeholder_works_in_a_remote_path() -> None:
    """The path within an rclone remote is per VM too."""
    remote = share("s3", backend="rclone", cubefs=None, rclone={"type": "s3", "path": "bucket/{vm}"})
    mine = expand(remote, VM)
    assert mine.rclone is not None
    assert mine.rclone.path == "bucket/vm-1"


def test_a_share_that_cannot_be_computed_stops_only_its_vms() -> None:
    """A list is complete or it is not sent: a broken share must not vanish from a VM."""
    long_name = VmId("vm-with-a-long-name")
    too_long = record("long", vms=(long_name,), mount_point="/srv/" + "x" * 4080 + "/{vm}")
    catalog = snapshot(too_long, record("a", vms=(long_name, "v")))
    projection = project(catalog, {}, vms(long_name, "v"))
    assert "share 'long'" in projection.problems[long_name]
    assert long_name not in projection.lists
    assert listed(projection, "v") == ["a"]


def test_an_unreadable_record_is_reported() -> None:
    """Nobody knows who has it, so whoever had it must keep it."""
    catalog = snapshot(bad={"share.x": "cannot decode"})
    assert project(catalog, {}, vms("vm-1")).unreadable == {ShareId("x"): "cannot decode"}


def test_the_same_share_is_encoded_once_for_all_vms() -> None:
    """Ten thousand VMs with one list cost one encoding."""
    catalog = snapshot(record("a", vms=("vm-1", "vm-2")))
    lists = project(catalog, {}, vms("vm-1", "vm-2")).lists
    assert lists[VmId("vm-1")][0] is lists[VmId("vm-2")][0]


@pytest.mark.parametrize("changed", [pytest.param(True, id="with a changed share"), pytest.param(False, id="without")])
def test_a_composed_message_means_what_the_encoder_writes(changed: bool) -> None:
    """Putting encoded parts together gives the very bytes of the contract's own encoder."""
    shares = (share("a", mount_point='/srv/with "quotes"'), share("b", unknown={"x": [1]}))
    whole = MountSet(
        vm="vm-1",
        revision=7,
        catalog=MARK,
        shares=shares,
        gone=("old", "older"),
        changed=shares[0] if changed else None,
    )
    following = NextMessage(
        VM, 7, MARK, (ShareId("old"), ShareId("older")), encode_message(shares[0]) if changed else b""
    )
    composed = compose(following, compose_list(encode_message(item) for item in shares))
    assert composed == encode_message(whole)
    assert decode_message(composed) == whole


def test_a_record_survives_storing() -> None:
    """What the catalog gives back is what it got, unknown fields included."""
    before = record("a", classes=("c",), excepted=("vm-9",), unknown=3)
    assert decode_record(encode_record(before)) == before
