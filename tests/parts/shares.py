"""Shares and messages for tests, written in one line."""

from __future__ import annotations

from typing import Any

from weft.wire.blocks import BindBlock
from weft.wire.codec import encode_message
from weft.wire.mountset import MountSet
from weft.wire.share import Action, ShareMount


def bind(share_id: str, mount_point: str = "", *, source: str = "", **fields: Any) -> ShareMount:
    """Build a bind share; its mount point is ``/mnt/<id>`` and its source ``/srv/<id>`` unless given."""
    return ShareMount(
        id=share_id,
        backend="bind",
        mount_point=mount_point or f"/mnt/{share_id}",
        bind=BindBlock(source=source or f"/srv/{share_id}"),
        **fields,
    )


def unmount(share_id: str) -> ShareMount:
    """Build the message that takes *share_id* away."""
    return ShareMount(id=share_id, action=Action.UNMOUNT)


def mount_set(revision: int, *shares: ShareMount, vm: str = "vm-7", **fields: Any) -> MountSet:
    """Build a complete list."""
    return MountSet(vm=vm, revision=revision, shares=shares, **fields)


def encoded_set(revision: int, *shares: ShareMount, vm: str = "vm-7", **fields: Any) -> bytes:
    """Build a complete list as it travels."""
    return encode_message(mount_set(revision, *shares, vm=vm, **fields))
