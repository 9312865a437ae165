"""A guest without an agent process, given the real rclone: for faults that take a guest minutes to notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.drivers.rclone import RcloneDriver
from tests.parts.engine_rig import EngineRig
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from weft.wire.share import ShareMount, parse_share


def give_rclone(rig: EngineRig) -> None:
    """Let engines made from now on mount what rclone reaches."""
    rig.more_drivers = {"rclone": RcloneDriver(allow_types=frozenset({"local"}))}
    rig.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}


def rclone_share(rig: EngineRig, server: RcloneServer, *, path: str = "", **options: Any) -> ShareMount:
    """Build the share ``a``."""
    block = {"type": server.config["type"], "path": path, "config": server.config, "options": options}
    return parse_share({"id": "a", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block})
