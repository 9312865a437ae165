"""Values that the control plane's tests are about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from controlplane.edits import Author
from controlplane.messages import LastMessage
from controlplane.projection import Members
from controlplane.records import CatalogSnapshot, ShareRecord, Targets
from controlplane.stored import StoredMessage
from weft.wire.ids import ClassName, ShareId, VmId
from weft.wire.mountset import CatalogMark
from weft.wire.share import ShareMount, parse_share

AUTHOR = Author("teacher", datetime(2026, 1, 2, tzinfo=UTC))
MARK = CatalogMark(id="cat", seq=10)
NOW_MS = 1_790_000_000_000


def share(share_id: str, **fields: Any) -> ShareMount:
    block = {"volume": "v", "masters": ["m1:17010"], "owner": "o"}
    return parse_share({"id": share_id, "mount_point": f"/srv/{share_id}", "cubefs": block, **fields})


def record(
    share_id: str,
    *,
    vms: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    excepted: tuple[str, ...] = (),
    enabled: bool = True,
    **fields: Any,
) -> ShareRecord:
    targets = Targets(vms=vms, classes=classes, excepted=excepted)
    return ShareRecord(share=share(share_id, **fields), targets=targets, enabled=enabled)


def snapshot(
    *records: ShareRecord, members: Mapping[str, tuple[str, ...]] | None = None, **more: Any
) -> CatalogSnapshot:
    editions = {f"share.{item.share.id}": index + 2 for index, item in enumerate(records)}
    return CatalogSnapshot(
        shares={item.share_id: item for item in records},
        members=members_of(members or {}),
        **{"id": "cat", "seq": 10, "editions": editions, **more},
    )


def members_of(members: Mapping[str, tuple[str, ...]]) -> Members:
    return {ClassName(name): frozenset(VmId(vm) for vm in vms) for name, vms in members.items()}


def last(message: Mapping[str, Any] | bytes, seq: int = 5) -> LastMessage:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return LastMessage(StoredMessage("weft.mounts.vm-1", seq, data, 0.0))


def ids(*names: str) -> frozenset[ShareId]:
    return frozenset(ShareId(name) for name in names)


def vms(*names: str) -> frozenset[VmId]:
    return frozenset(VmId(name) for name in names)
