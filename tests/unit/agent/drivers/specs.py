"""Specs and contexts for the drivers' rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.drivers.base import MountContext
from weft.wire.share import ShareMount, parse_share

PROGRAMS = {name: Path(f"/opt/bin/{name}") for name in ("cfs-client", "rclone", "fusermount3", "mount")}
CUBEFS = {"volume": "team", "masters": ["m1:17010", "m2:17010"], "owner": "alpha"}
S3 = {
    "type": "s3",
    "path": "bucket/prefix",
    "config": {"provider": "Other", "endpoint": "http://s3", "access_key_id": "AKIA", "secret_access_key": "s3cret"},
}


def cubefs_share(block: dict[str, Any] | None = None, **fields: Any) -> ShareMount:
    """A share of volume ``team``, with further fields of its block and of the share."""
    return parse_share({"id": "data", "mount_point": "/mnt/data", "cubefs": CUBEFS | (block or {}), **fields})


def rclone_share(block: dict[str, Any] | None = None, **fields: Any) -> ShareMount:
    """A share of an S3 bucket, with further fields of its block and of the share."""
    rclone = S3 | (block or {})
    return parse_share({"id": "data", "backend": "rclone", "mount_point": "/mnt/data", "rclone": rclone, **fields})


def context_for(share: ShareMount) -> MountContext:
    """A guest that has every program."""
    return MountContext(
        share=share,
        source="weft:data:0badcafe",
        private_dir=Path("/run/weft-agent/private/0123456789ab"),
        cache_dir=Path("/var/lib/weft/cache/0123456789ab"),
        programs=PROGRAMS,
    )
