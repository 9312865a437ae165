"""Bytes of other publishers of the same wire, captured from a stream."""

from pathlib import Path

import msgspec
import pytest

from weft import ShareMount, decode_message, encode_message
from weft.errors import DecodeError

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"


def read(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", ["go-mount.json", "go-unmount.json"])
def test_bytes_of_a_go_publisher_survive_a_round_trip(name: str) -> None:
    """What a Go publisher wrote decodes to one share and encodes to the same bytes."""
    share = decode_message(read(name))
    assert isinstance(share, ShareMount)
    assert encode_message(share) == read(name)


def test_go_mount_has_every_field() -> None:
    """A share from a Go publisher is a CubeFS mount, although it names no backend."""
    share = decode_message(read("go-mount.json"))
    assert isinstance(share, ShareMount)
    assert (share.id, share.backend_name, share.is_unmount) == ("team-data", "cubefs", False)
    assert share.cubefs is not None
    assert share.cubefs.masters == ("10.9.0.1:17010",)
    assert share.cubefs.owner == "team_alpha"


def test_go_unmount_needs_no_block() -> None:
    """An unmount carries only id and mount point."""
    share = decode_message(read("go-unmount.json"))
    assert isinstance(share, ShareMount)
    assert share.is_unmount
    assert share.mount_point == "/run/weft/shares/team-data"


def test_escaped_text_is_refused_for_its_id_only() -> None:
    """An id that would decide over paths is refused; everything else in the message reads correctly."""
    with pytest.raises(DecodeError, match="as a share id") as caught:
        decode_message(read("go-escaped.json"))
    assert caught.value.field == "id"

    fields = msgspec.json.decode(read("go-escaped.json"))
    share = decode_message(msgspec.json.encode(fields | {"id": "abc"}))
    assert isinstance(share, ShareMount)
    assert share.cubefs is not None
    assert (share.cubefs.owner, share.cubefs.access_key, share.cubefs.secret_key, share.cubefs.subdir) == (
        "é", "A&B", "x<y>z\u2028", "/d",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"id":"a","action":"unmount","mount_point":""}', id="empty mount point"),
        pytest.param('{"id":"a","action":"unmount"}', id="no mount point"),
        pytest.param('{"id":"a","action":"unmount","mount_point":"/mnt/a","backend":"virtio9p"}', id="no block"),
        pytest.param(
            '{"id":"a","action":"unmount","mount_point":"/mnt/a","cubefs":{"volume":"","masters":null,"owner":""}}',
            id="null masters",
        ),
    ],
)
def test_unmounts_as_publishers_write_them_are_accepted(text: str) -> None:
    """The id is enough to take a share away."""
    share = decode_message(text.encode())
    assert isinstance(share, ShareMount)
    assert share.is_unmount
