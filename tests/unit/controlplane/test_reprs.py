"""What the control plane holds in its hands may be printed anywhere: no repr shows a secret."""

from __future__ import annotations

import pytest

from controlplane.decide import Intent, Publish
from controlplane.edits import Change, record_edit
from controlplane.heard import Heard
from controlplane.ingest import Outgoing
from controlplane.messages import NextMessage
from controlplane.projection import ProjectedShare, Projection
from controlplane.records import CatalogSnapshot, RemoteRecord, ShareRecord
from controlplane.stored import StoredMessage
from weft.wire.ids import RemoteName, VmId
from weft.wire.mountset import CatalogMark
from weft.wire.share import parse_share

SECRET = "hunter2hunter2"
VM = VmId("vm-1")
SHARE = parse_share(
    {
        "id": "a",
        "backend": "rclone",
        "mount_point": "/mnt/a",
        "rclone": {"type": "s3", "path": "b", "config": {"secret_access_key": SECRET}},
    }
)
RECORD = ShareRecord(share=SHARE)
REMOTE = RemoteRecord(backend="rclone", block={"type": "s3", "config": {"secret_access_key": SECRET}})
EDIT = record_edit(CatalogSnapshot(), RECORD)
DATA = EDIT.data or b""


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(
            CatalogSnapshot(shares={SHARE.share_id: RECORD}, remotes={RemoteName("r"): REMOTE}), id="a catalog"
        ),
        pytest.param(Change("publish", edits=(EDIT,), intent=Intent(changed=SHARE)), id="a change"),
        pytest.param(Projection({VM: (ProjectedShare(SHARE),)}), id="a projection"),
        pytest.param(Publish(VM, DATA, 1, 1, frozenset()), id="a decision"),
        pytest.param(NextMessage(VM, 1, CatalogMark(id="c", seq=1), changed=DATA), id="a message to be"),
        pytest.param(Outgoing("weft.mounts.vm-1", DATA, 0), id="a message on its way"),
        pytest.param(StoredMessage("weft.mounts.vm-1", 1, DATA, 0.0), id="a stored message"),
        pytest.param(Heard((DATA,), 0.0), id="reports"),
    ],
)
def test_no_repr_shows_a_secret(value: object) -> None:
    """Neither in a traceback with its variables, nor in a log line."""
    assert SECRET in DATA.decode()
    assert SECRET not in repr(value)
    assert SECRET not in str(value)
