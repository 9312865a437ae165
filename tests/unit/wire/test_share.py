"""What a ShareMount accepts and refuses."""

from typing import Any

import msgspec
import pytest

from weft import ShareMount, decode_message, encode_message
from weft.errors import DecodeError
from weft.wire.share import redacted_share, share_secrets

CUBEFS = {"volume": "v", "masters": ["m1:17010"], "owner": "o"}


def message(**fields: Any) -> bytes:
    """Build a valid cubefs share and put *fields* over it; None takes a field away."""
    values = {"id": "tools", "mount_point": "/mnt/tools", "cubefs": CUBEFS} | fields
    return msgspec.json.encode({key: value for key, value in values.items() if value is not None})


def decode(**fields: Any) -> ShareMount:
    share = decode_message(message(**fields))
    assert isinstance(share, ShareMount)
    return share


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        pytest.param(b"{", "", "cannot decode mount message", id="malformed JSON"),
        pytest.param(b'"x"', "", "must be a JSON object", id="not an object"),
        pytest.param(message(id=None), "id", "without id", id="missing id"),
        pytest.param(message(id=""), "id", "without id", id="empty id"),
        pytest.param(message(id="../x"), "id", "'../x'", id="id that walks"),
        pytest.param(message(id="a\n"), "id", "as a share id", id="id with a line break"),
        pytest.param(message(id="a" * 129), "id", "at most 128", id="id too long"),
        pytest.param(message(mount_point=None), "mount_point", "without mount_point", id="missing mount point"),
        pytest.param(message(mount_point="mnt/x"), "mount_point", "'mnt/x'", id="relative"),
        pytest.param(message(mount_point=" /mnt/x"), "mount_point", "white space", id="leading space"),
        pytest.param(message(mount_point="/mnt/../etc"), "mount_point", "'..'", id="dot dot"),
        pytest.param(message(mount_point="//a"), "mount_point", "'//'", id="double slash"),
        pytest.param(message(mount_point="/"), "mount_point", "root", id="root"),
        pytest.param(message(mount_point="/mnt/a\x07"), "mount_point", "control", id="control character"),
        pytest.param(message(mount_point="/" + "a" * 5000), "mount_point", "longer", id="too long"),
        pytest.param(message(backend="zfs"), "backend", "'zfs'", id="unknown backend"),
        pytest.param(message(cubefs=None), "cubefs", "without its cubefs block", id="missing block"),
        pytest.param(message(cubefs={**CUBEFS, "volume": ""}), "cubefs.volume", "volume", id="empty volume"),
        pytest.param(message(cubefs={"masters": ["m:1"], "owner": "o"}), "cubefs.volume", "missing", id="no volume"),
        pytest.param(message(cubefs={"volume": "v", "owner": "o"}), "cubefs.masters", "missing", id="no masters"),
        pytest.param(message(cubefs={**CUBEFS, "masters": []}), "cubefs.masters", "empty", id="empty masters"),
        pytest.param(message(cubefs={**CUBEFS, "masters": ["m1"]}), "cubefs.masters", "host:port", id="no port"),
        pytest.param(message(cubefs={"volume": "v", "masters": ["m:1"]}), "cubefs.owner", "missing", id="no owner"),
        pytest.param(message(umask="9"), "umask", "'9'", id="umask not octal"),
        pytest.param(message(uid=-1), "uid", "-1", id="negative uid"),
        pytest.param(message(action="remount"), "action", "it must be '', 'mount' or 'unmount'", id="unknown action"),
        pytest.param(message(readonly="yes"), "readonly", "'yes'", id="text for a boolean"),
        pytest.param(message(expires_at="2030-01-01T00:00:00"), "expires_at", "2030", id="time without zone"),
        pytest.param(
            message(backend="rclone", rclone={"type": "s3", "config": {"a\nb": "x"}}), "rclone.config", "name",
            id="option name with a line break",
        ),
        pytest.param(
            message(backend="rclone", rclone={"type": "s3", "config": {"a": "x\n[b]"}}),
            "rclone.config.a",
            "line break",
            id="option value with a line break",
        ),
        pytest.param(
            message(backend="rclone", rclone={"type": "s3", "options": {"--x": "1"}}), "rclone.options", "'--x'",
            id="option that looks like a flag",
        ),
        pytest.param(message(backend="bind", bind={"source": "x"}), "bind.source", "absolute", id="relative source"),
        pytest.param(message(backend="nfs", nfs={"server": "h", "export": "x"}), "nfs.export", "absolute", id="export"),
    ],
)  # fmt: skip
def test_bad_shares_are_refused_with_field_and_value(data: bytes, field: str, says: str) -> None:
    """A share that breaks the contract never becomes a value; the error names what is wrong."""
    with pytest.raises(DecodeError) as caught:
        decode_message(data)
    assert caught.value.field == field
    assert says in str(caught.value)


@pytest.mark.parametrize("action", ["remount", "umount", "Unmount", "detach", "MOUNT", " mount"])
def test_an_unknown_action_never_mounts(action: str) -> None:
    """Only the empty text, mount and unmount are actions."""
    with pytest.raises(DecodeError) as caught:
        decode_message(message(action=action))
    assert caught.value.field == "action"
    assert repr(action) in str(caught.value)


def test_a_trailing_slash_is_dropped() -> None:
    """The same directory has one spelling."""
    assert decode(mount_point="/mnt/tools/").mount_point == "/mnt/tools"


def test_unknown_fields_survive_a_round_trip() -> None:
    """A newer publisher's fields are ignored and given back, also inside a block."""
    data = message(colour="blue", cubefs={**CUBEFS, "zone": {"a": [1, None]}})
    share = decode_message(data)
    assert msgspec.json.decode(encode_message(share)) == msgspec.json.decode(data)


def test_null_stands_for_absent() -> None:
    """Publishers in Go write null for an empty slice or pointer."""
    assert decode_message(b'{"id":"a","mount_point":"/mnt/a","backend":"virtiofs","virtiofs":null,"cubefs":null}')


@pytest.mark.parametrize("backend", ["virtiofs", "virtio9p"])
def test_a_tag_block_may_be_left_out(backend: str) -> None:
    """The tag defaults to the share's id, so the block says nothing new."""
    assert decode(backend=backend, cubefs=None).backend_name == backend


def test_secrets_never_show_in_a_repr() -> None:
    """A log line or traceback that holds a share holds no secret."""
    share = decode(cubefs={**CUBEFS, "access_key": "AKIAXXXX", "secret_key": "hunter2hunter2"}, other="hunter2hunter2")
    assert "hunter2" not in repr(share) + str(share)
    assert "AKIAXXXX" not in repr(share)
    assert share_secrets(share) == {"AKIAXXXX", "hunter2hunter2"}


def test_secrets_never_show_in_an_error() -> None:
    """A bad value of a secret field is named, not quoted."""
    with pytest.raises(DecodeError) as caught:
        decode_message(message(cubefs={**CUBEFS, "secret_key": ["hunter2hunter2"]}))
    assert "hunter2" not in str(caught.value)
    assert caught.value.field == "cubefs.secret_key"


def test_redaction_shows_what_helps_and_hides_the_rest() -> None:
    """An operator sees the endpoint and a credential's name, not a key or the password in a URL."""
    config = {
        "provider": "Minio",
        "endpoint": "http://user:pw@h:9000",
        "secret_access_key": "sssssss",
        "made_up_option": "may be secret",
        "token": "credential:share.token",
    }
    share = decode(backend="rclone", cubefs=None, rclone={"type": "s3", "path": "b", "config": config})
    assert redacted_share(share)["rclone"] == {
        "type": "s3",
        "path": "b",
        "config": {
            "provider": "Minio",
            "endpoint": "http://***@h:9000",
            "secret_access_key": "***",
            "made_up_option": "***",
            "token": "credential:share.token",
        },
    }
