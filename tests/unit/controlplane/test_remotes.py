"""Remotes: what of a block is theirs, and what stays with the share."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from controlplane.projection import project
from controlplane.records import CatalogSnapshot, RemoteRecord, decode_remote, encode_remote
from controlplane.remote_edits import build_delete_remote, build_set_remote, build_update_remote
from controlplane.remotes import check_remote, own_part, resolved
from tests.unit.controlplane.makers import AUTHOR, ids, record, snapshot, vms
from weft.errors import CatalogError, ConfigError, DecodeError, UnknownNameError
from weft.wire.ids import RemoteName, VmId
from weft.wire.share import parse_share

S3 = RemoteRecord(
    backend="rclone",
    block={"type": "s3", "config": {"endpoint": "http://m", "secret_access_key": "old"}, "options": {"transfers": 2}},
)
CUBE = RemoteRecord(
    backend="cubefs", block={"volume": "v", "masters": ["m1:17010"], "owner": "o", "access_key": "A", "secret_key": "S"}
)


def s3_share(**block: Any) -> Any:
    return parse_share(
        {"id": "docs", "mount_point": "/srv/docs", "backend": "rclone", "rclone": {"type": "s3", **block}}
    )


def using(remote: str = "minio", **block: Any) -> Any:
    return msgspec.structs.replace(record("docs", vms=("vm-1",)), share=s3_share(path="b", **block), remote=remote)


def catalog(*records: Any, **remotes: RemoteRecord) -> CatalogSnapshot:
    named = {RemoteName(name): found for name, found in remotes.items()}
    editions = {"share.docs": 2, **{f"remote.{name}": 7 for name in remotes}}
    return snapshot(*records, remotes=named, editions=editions)


def test_a_remote_completes_the_block_and_the_share_keeps_its_path() -> None:
    """Connection and secrets are the remote's; own options stand over the remote's."""
    share = resolved(using(options={"transfers": 9}), {RemoteName("minio"): S3})
    assert share.rclone is not None
    assert share.rclone.path == "b"
    assert share.rclone.config == {"endpoint": "http://m", "secret_access_key": "old"}
    assert share.rclone.options == {"transfers": 9}


def test_a_cubefs_remote_keeps_the_keys_and_the_share_its_directory() -> None:
    """Owner, masters and keys change in one place."""
    block = {"volume": "x", "masters": ["old:1"], "owner": "x", "subdir": "{vm}"}
    share = parse_share({"id": "docs", "mount_point": "/srv/docs", "cubefs": block})
    item = msgspec.structs.replace(record("docs", vms=("vm-1",)), share=share, remote="team")
    projection = project(catalog(item, team=CUBE), {}, [VmId("vm-1")])
    (projected,) = projection.lists[VmId("vm-1")]
    assert projected.share.cubefs is not None
    assert (projected.share.cubefs.subdir, projected.share.cubefs.secret_key) == ("vm-1", "S")
    assert (projected.share.cubefs.volume, projected.share.cubefs.masters) == ("v", ("m1:17010",))


def test_a_missing_remote_takes_nothing_away() -> None:
    """The list cannot be computed, which leaves the VM as it is."""
    projection = project(catalog(using("gone")), {}, [VmId("vm-1")])
    assert projection.lists == {}
    assert "'gone'" in projection.problems[VmId("vm-1")]


def test_nothing_of_the_remote_is_stored_with_the_share() -> None:
    """Only what a block may not lack stays beside the path, so a secret is in one place."""
    own = own_part(s3_share(path="b", config={"region": "x"}), "minio", S3)
    assert own.rclone is not None
    assert (own.rclone.type, own.rclone.path, own.rclone.config) == ("s3", "b", {"region": "x"})


def test_what_the_remote_says_cannot_be_said_by_the_share() -> None:
    """It would be ignored, so it is refused and the right command named."""
    block = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "secret_key": "mine"}
    share = parse_share({"id": "docs", "mount_point": "/srv/docs", "cubefs": block})
    with pytest.raises(DecodeError, match="weft remote update team"):
        own_part(share, "team", CUBE)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(RemoteRecord(backend="nfs", block={}), "rclone and cubefs", id="nothing to share"),
        pytest.param(RemoteRecord(backend="rclone", block={"type": "s3", "path": "b"}), "path", id="a path"),
        pytest.param(RemoteRecord(backend="rclone", block={}), "type is missing", id="no type"),
    ],
)
def test_a_remote_that_no_share_could_use_is_refused(found: RemoteRecord, words: str) -> None:
    """Before it is stored."""
    with pytest.raises(DecodeError, match=words):
        check_remote("x", found)


def test_one_rotation_concerns_every_vm_of_every_share_that_uses_it() -> None:
    """One edit, and all receivers."""
    change = build_update_remote(
        catalog(using(), minio=S3), {}, "minio", [("config.secret_access_key", "new")], None, AUTHOR
    )
    (edit,) = change.edits
    assert (change.affected, change.share_ids, edit.expected_seq) == (vms("vm-1"), ("docs",), 7)
    assert decode_remote(edit.data or b"").block["config"]["secret_access_key"] == "new"
    assert change.intent.named == ids("docs")


def test_setting_a_remote_to_what_it_is_writes_nothing() -> None:
    """Twice is the same as once."""
    change = build_set_remote(catalog(minio=S3), {}, "minio", "rclone", S3.block, None, AUTHOR)
    assert change.edits == ()


def test_a_remote_in_use_keeps_its_backend() -> None:
    """The shares that name it could not follow."""
    with pytest.raises(DecodeError, match="'minio' is cubefs now"):
        build_set_remote(catalog(using(), minio=S3), {}, "minio", "cubefs", CUBE.block, None, AUTHOR)


def test_a_remote_in_use_is_not_deleted() -> None:
    """The shares are named; without any it goes."""
    with pytest.raises(CatalogError, match="docs"):
        build_delete_remote(catalog(using(), minio=S3), "minio")
    (edit,) = build_delete_remote(catalog(minio=S3), "minio").edits
    assert edit.data is None


def test_unknown_names_are_answered_with_the_nearest() -> None:
    """A remote as well as a field."""
    with pytest.raises(UnknownNameError, match="minio"):
        build_update_remote(catalog(minio=S3), {}, "mino", [], None, AUTHOR)
    with pytest.raises(ConfigError, match="no such field"):
        build_update_remote(catalog(minio=S3), {}, "minio", [("confg.x", "y")], None, AUTHOR)


def test_a_stored_remote_shows_no_secret() -> None:
    """Written and read back whole, and a repr hides what is in the block."""
    assert decode_remote(encode_remote(S3)) == S3
    assert "old" not in repr(S3)
