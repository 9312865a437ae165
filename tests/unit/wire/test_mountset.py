"""MountSet: the frame is strict, the elements are read one by one."""

from typing import Any

import msgspec
import pytest

from weft import MountSet, decode_message, encode_message
from weft.errors import DecodeError
from weft.wire.mountset import CatalogMark
from weft.wire.share import ShareMount, parse_share

A = {"id": "a", "mount_point": "/mnt/a", "backend": "virtiofs"}
B = {"id": "b", "mount_point": "/mnt/b", "backend": "virtiofs"}


def decode(**fields: Any) -> MountSet:
    decoded = decode_message(msgspec.json.encode({"vm": "vm-1", "revision": 7, "shares": [A]} | fields))
    assert isinstance(decoded, MountSet)
    return decoded


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"shares": None}, "shares", id="shares null"),
        pytest.param({"shares": {}}, "shares", id="shares an object"),
        pytest.param({"revision": None}, "revision", id="revision missing"),
        pytest.param({"revision": -1}, "revision", id="revision negative"),
        pytest.param({"revision": 0}, "revision", id="revision zero"),
        pytest.param({"revision": 1.5}, "revision", id="revision not whole"),
        pytest.param({"revision": True}, "revision", id="revision a boolean"),
        pytest.param({"revision": "7"}, "revision", id="revision a text"),
        pytest.param({"vm": "a.b"}, "vm", id="vm with a dot"),
        pytest.param({"vm": None}, "vm", id="vm missing"),
        pytest.param({"catalog": {"seq": 1}}, "id", id="catalog without id"),
        pytest.param({"gone": "a"}, "gone", id="gone a text"),
        pytest.param({"gone": ["a b"]}, "gone", id="gone with a bad id"),
    ],
)
def test_a_bad_frame_refuses_the_whole_message(fields: dict[str, Any], field: str) -> None:
    """Half a frame is no state."""
    with pytest.raises(DecodeError) as caught:
        decode(**fields)
    assert caught.value.field == field


def test_a_bad_element_is_rejected_alone() -> None:
    """One bad share costs no other share, and absence may still unmount."""
    decoded = decode(shares=[A, {"id": "x", "mount_point": "rel"}, B])
    assert [share.id for share in decoded.shares] == ["a", "b"]
    assert [(bad.id, bad.index) for bad in decoded.rejected] == [("x", 1)]
    assert "'rel'" in decoded.rejected[0].reason
    assert decoded.is_complete


@pytest.mark.parametrize("element", [{"mount_point": "/mnt/x"}, 5, None, {"id": 3}, {"id": "a/b"}])
def test_an_unreadable_id_makes_the_list_incomplete(element: object) -> None:
    """Nobody knows which share was meant, so nothing may be concluded from absence."""
    decoded = decode(shares=[A, element])
    assert not decoded.is_complete
    assert [share.id for share in decoded.shares] == ["a"]


def test_of_two_elements_with_one_id_the_later_is_rejected() -> None:
    """The first stands, the second is reported."""
    decoded = decode(shares=[A, A | {"mount_point": "/mnt/other"}])
    assert [share.mount_point for share in decoded.shares] == ["/mnt/a"]
    assert [(bad.id, bad.mount_point) for bad in decoded.rejected] == [("a", "/mnt/other")]


def test_an_unmount_element_counts_as_absent() -> None:
    """A list says what should be there; an element that says unmount is not."""
    assert [share.id for share in decode(shares=[A, {"id": "b", "action": "unmount"}]).shares] == ["a"]


def test_round_trip_keeps_everything() -> None:
    """What is encoded decodes to the same value, the changed share at the top level."""
    share = parse_share(A)
    original = MountSet(
        vm="vm-1", revision=7, shares=(share,), catalog=CatalogMark(id="c", seq=3), gone=("old",), changed=share
    )
    assert decode_message(encode_message(original)) == original


def test_the_top_level_is_a_share_that_others_understand() -> None:
    """An agent that knows only single shares reads the message as the changed one."""
    share = parse_share(A)
    fields = msgspec.json.decode(encode_message(MountSet(vm="v", revision=1, shares=(share,), changed=share)))
    del fields["shares"]
    single = decode_message(msgspec.json.encode(fields))
    assert isinstance(single, ShareMount)
    assert (single.id, single.mount_point, single.backend) == ("a", "/mnt/a", "virtiofs")


def test_a_bad_top_level_share_does_not_cost_the_list() -> None:
    """The top level only repeats."""
    decoded = decode(id="a", mount_point="relative")
    assert decoded.changed is None
    assert [share.id for share in decoded.shares] == ["a"]
