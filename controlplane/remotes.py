"""What a remote is to the shares that name it (pure): it completes their blocks, and everything but the path is its."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from controlplane.records import RemoteRecord, ShareRecord
from weft.errors import DecodeError
from weft.wire.blocks import block_type
from weft.wire.ids import RemoteName
from weft.wire.references import find_misplaced, references_in
from weft.wire.share import ShareMount, parse_share, share_to_builtins
from weft.wire.tolerant import from_builtins, to_builtins

PATHS: Mapping[str, str] = {"rclone": "path", "cubefs": "subdir"}
"""Backends that may be remotes, and the field of their block that stays the share's own."""
OVERLAID = frozenset({"config", "options"})
"""Maps in which the share's own entries stand over the remote's."""


def check_remote(name: str, record: RemoteRecord) -> None:
    """
    Refuse a remote that no share could use.

    Raises:
        DecodeError: A backend without remotes, a path, a credential where nobody resolves it, or a block that breaks
            the contract.
    """
    if record.backend not in PATHS:
        raise DecodeError(
            f"cannot make a remote of backend {record.backend!r}: only {' and '.join(PATHS)} have something to share",
            field="backend",
        )
    if record.block.get(PATHS[record.backend]):
        raise DecodeError(
            f"cannot keep a path in remote {name!r}: it belongs to the shares, as in --from {name}:path", field="path"
        )
    struct = block_type(record.backend)
    assert struct is not None, "both backends are built in"
    block = from_builtins(struct, dict(record.block), what=f"remote {name!r}")
    misplaced = find_misplaced(references_in(block, record.backend), f"remote {name!r}")
    if misplaced is not None:
        raise DecodeError(misplaced, field=record.backend)


def placeholder_block(record: RemoteRecord, path: str, overlay: Mapping[str, Any]) -> dict[str, Any]:
    """
    Build the block of a share that names a remote: its own path and entries, and what no block may lack.

    Args:
        record: The remote.
        path: The share's path in it.
        overlay: The share's own ``config`` and ``options``.
    """
    needed = {"rclone": ("type",), "cubefs": ("volume", "masters", "owner")}[record.backend]
    block = {name: record.block[name] for name in needed if name in record.block}
    return {**block, PATHS[record.backend]: path, **overlay}


def own_part(share: ShareMount, name: str, record: RemoteRecord) -> ShareMount:
    """
    Return *share* with only that in its block which is not its remote's.

    Raises:
        DecodeError: The share has another backend, or says itself what the remote says.
    """
    if share.backend_name != record.backend:
        raise DecodeError(
            f"cannot give share {share.id!r} remote {name!r}: it is {share.backend_name}, the remote {record.backend}"
        )
    values = share_to_builtins(share)
    block = values[record.backend]
    path = PATHS[record.backend]
    overlay = {key: block[key] for key in OVERLAID if block.get(key)}
    own = placeholder_block(record, block.get(path, ""), overlay)
    if said := sorted(block.keys() - own.keys() - {path, *OVERLAID}):
        raise DecodeError(
            f"cannot set {record.backend}.{said[0]} of share {share.id!r}: it comes from remote {name!r} "
            f"(weft remote update {name})"
        )
    return parse_share({**values, record.backend: own})


def resolved(record: ShareRecord, remotes: Mapping[RemoteName, RemoteRecord]) -> ShareMount:
    """
    Return the share of *record* with its remote in it.

    Raises:
        DecodeError: The remote is missing, or fits the share no more.
    """
    if not record.remote:
        return record.share
    remote = remotes.get(RemoteName(record.remote))
    if remote is None:
        raise DecodeError(f"remote {record.remote!r} is not in the catalog")
    share = record.share
    if share.backend_name != remote.backend:
        raise DecodeError(f"remote {record.remote!r} is {remote.backend} now, and the share {share.backend_name}")
    own = to_builtins(share.block)
    block: dict[str, Any] = dict(remote.block)
    block[PATHS[remote.backend]] = own.get(PATHS[remote.backend], "")
    for key in OVERLAID & own.keys():
        block[key] = {**block.get(key, {}), **own[key]}
    struct = block_type(remote.backend)
    assert struct is not None, "both backends are built in"
    changed = {remote.backend: from_builtins(struct, block, what=f"share {share.id!r}")}
    return msgspec.structs.replace(share, **changed)
