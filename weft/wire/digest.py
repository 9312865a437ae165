"""Digests of shares and sets: equal digests mean that nothing needs to be done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from weft.wire.fields import Change, field_infos
from weft.wire.redact import redacted_value
from weft.wire.share import ShareMount, share_to_builtins

_ENCODER = msgspec.json.Encoder(order="deterministic")
_INFOS = field_infos(ShareMount)
_BLOCKS = frozenset({"cubefs", "rclone", "nfs", "virtiofs", "virtio9p", "bind"})


def share_digest(share: ShareMount) -> str:
    """
    Digest what a guest must have made true for *share* (16 hex digits).

    Covers every field that is applied by remount or live, unknown fields too; not the id, priority or expiry.
    """
    return _hash(_effective(share, {Change.REMOUNT, Change.LIVE}))


def mount_digest(share: ShareMount) -> str:
    """Digest only what would need a remount (16 hex digits); a share that differs elsewhere keeps its mount."""
    return _hash(_effective(share, {Change.REMOUNT}))


def shape_digest(share: ShareMount) -> str:
    """
    Digest what would need a remount with all secrets left out (8 hex digits).

    It stands in the mount's source, which every user of the guest can read.
    """
    values = _effective(share, {Change.REMOUNT})
    backend = share.backend_name
    block = values.get(backend)
    if isinstance(block, dict):
        infos = field_infos(type(share.block))
        values[backend] = {
            name: redacted_value(item, infos[name].secrecy) if name in infos else None for name, item in block.items()
        }
    return _hash(values)[:8]


def set_digest(shares: Iterable[ShareMount], gone: Iterable[str] = ()) -> str:
    """Digest a whole desired state, order left out (16 hex digits): same digest, same content."""
    content = sorted(_canonical(share_to_builtins(share)) for share in shares)
    return _hash({"shares": [text.decode() for text in content], "gone": sorted(gone)})


def _effective(share: ShareMount, changes: set[Change]) -> dict[str, Any]:
    values = {
        key: value
        for key, value in share_to_builtins(share).items()
        if (key not in _INFOS or _INFOS[key].change in changes) and (key not in _BLOCKS or key == share.backend_name)
    }
    values["backend"] = share.backend_name
    values.pop("id", None)
    return values


def _canonical(value: Any) -> bytes:
    return _ENCODER.encode(value)


def _hash(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()[:16]
