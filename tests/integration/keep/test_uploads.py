"""Written and closed files are never lost: not by a killed client, nor a stopped one, nor a server that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.actual import Presence
from agent.drivers.rclone import RcloneDriver
from agent.mounts.liveness_watch import Rhythm
from agent.mounts.parts import Limits
from tests.parts.engine_rig import WAIT_S, EngineRig
from tests.parts.processes import wait_until_ended
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.parts.shares import unmount
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

DATA = ShareId("data")
KILLS = 12
LONG = "60s"
"""A write-back delay within which nothing is stored by itself."""


@pytest.fixture
async def s3(tmp_path: Path, rig: EngineRig) -> AsyncIterator[RcloneServer]:
    use_rclone(rig)
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "bucket").mkdir()
        yield server


def use_rclone(rig: EngineRig) -> None:
    rig.more_drivers = {"rclone": RcloneDriver(allow_types=frozenset({"local"}))}
    rig.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
    rig.limits = Limits(drain_s=15)


def share_of(rig: EngineRig, server: RcloneServer, *, path: str = "bucket", write_back: str = "150ms") -> ShareMount:
    config, options = server.config, {"vfs-write-back": write_back}
    block = {"type": config["type"], "path": path, "config": config, "options": options}
    return parse_share({"id": "data", "backend": "rclone", "mount_point": str(rig.root / "data"), "rclone": block})


def write(rig: EngineRig, name: str, text: str) -> None:
    (rig.root / "data" / name).write_text(text)


async def test_a_file_closed_just_before_the_client_is_killed_is_stored(rig: EngineRig, s3: RcloneServer) -> None:
    """However few milliseconds before, and whatever the client had noted of it by then."""
    share = share_of(rig, s3)
    names = [f"file-{number}" for number in range(KILLS)]
    async with rig.engine() as engine:
        for name in names:
            await engine.apply(share)
            pid = rig.pid_of("data")
            await asyncio.to_thread(write, rig, name, name * 100)
            rig.kill_client("data")
            await wait_until_ended(pid)
            async with asyncio.timeout(5):
                while engine.presence(DATA) is Presence.MOUNTED:
                    await rig.wait_for_next_change()
        await engine.apply(share)
        await engine.apply(unmount("data"))
    stored = {path.name: path.read_text() for path in (s3.root / "bucket").iterdir()}
    assert stored == {name: name * 100 for name in names}


async def test_uploads_of_a_stopped_client_are_kept_and_sent_later(rig: EngineRig, s3: RcloneServer) -> None:
    """It cannot be asked, so its cache says what waits; that is told, and the next mount stores it."""
    async with rig.engine() as engine:
        await engine.apply(share_of(rig, s3, write_back=LONG))
        await asyncio.to_thread(write, rig, "new", "ebb")
        rig.stop_client("data")
        await engine.apply(unmount("data"))
        assert list((s3.root / "bucket").iterdir()) == []
        remark = rig.remarks[-1][1]
        assert isinstance(remark, MountError)
        assert "1 files (3 bytes)" in remark.message
        await engine.apply(share_of(rig, s3))
        await engine.apply(unmount("data"))
    assert (s3.root / "bucket" / "new").read_text() == "ebb"
    assert not (rig.directory / "state" / "cache").exists() or list((rig.directory / "state" / "cache").iterdir()) == []


async def test_an_unmount_does_not_wait_for_the_write_back_delay(rig: EngineRig, s3: RcloneServer) -> None:
    """What the client meant to store in a minute is stored now."""
    async with rig.engine() as engine:
        await engine.apply(share_of(rig, s3, write_back=LONG))
        for name in ("one", "two"):
            await asyncio.to_thread(write, rig, name, "ebb")
        async with asyncio.timeout(10):
            await engine.apply(unmount("data"))
        assert rig.remarks == []
    assert sorted(path.name for path in (s3.root / "bucket").iterdir()) == ["one", "two"]


async def test_uploads_that_the_server_does_not_take_are_kept(rig: EngineRig, s3: RcloneServer) -> None:
    """The wait for them is bounded; what is left, and how much, is told."""
    rig.limits = Limits(drain_s=1)
    async with rig.engine() as engine:
        await engine.apply(share_of(rig, s3))
        await asyncio.to_thread(write, rig, "new", "ebb")
        s3.suspend()
        async with asyncio.timeout(20):
            await engine.apply(unmount("data"))
        assert "1 files (3 bytes)" in str(rig.remarks[-1][1])
        s3.resume()
        await engine.apply(share_of(rig, s3))
        await engine.apply(unmount("data"))
    assert (s3.root / "bucket" / "new").read_text() == "ebb"


async def test_a_server_that_is_away_costs_nothing_but_waiting(tmp_path: Path, rig: EngineRig) -> None:
    """A hang is told, and its end; no abort and no remount, and what is written meanwhile is stored."""
    use_rclone(rig)
    rig.rhythm = Rhythm(interval_s=0.1, deadline_s=0.3)
    async with RcloneServer.sftp(tmp_path) as server, rig.engine() as engine:
        await engine.apply(share_of(rig, server, path=""))
        pid = rig.pid_of("data")
        server.suspend()
        await asyncio.to_thread(write, rig, "new", "ebb")
        hang = await rig.wait_for_change(lambda error: error is not None)
        assert hang is not None
        assert hang.code is ErrorCode.HUNG
        async with asyncio.timeout(WAIT_S):
            while len(rig.changes) < 5:  # each says that it still hangs
                await rig.wait_for_next_change()
        server.resume()
        await rig.wait_for_change(lambda error: error is None)
        assert rig.pid_of("data") == pid
        assert not any(error is not None and not error.keeps_old for _, error in rig.changes)
        await engine.apply(unmount("data"))
        assert rig.remarks == []
        assert (server.root / "new").read_text() == "ebb"
