"""The engine with the drivers that guests use: rclone against a real S3 server, cubefs against a stand-in cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.actual import Presence
from agent.drivers.cubefs import CubefsDriver
from agent.drivers.rclone import RcloneDriver
from agent.drivers.rclone_control import call_control
from agent.mounts.engine import MountEngine
from agent.mounts.parts import Limits
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.parts.shares import unmount
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

A = ShareId("a")
FUSERMOUNT = Path("/usr/bin/fusermount3")


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[RcloneServer]:
    """A real S3 server with one bucket that holds one file."""
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "bucket").mkdir()
        (server.root / "bucket" / "note").write_text("from the bucket")
        yield server


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CubefsCluster]:
    """A cluster with one volume that holds one file."""
    async with CubefsCluster(tmp_path) as running:
        (running.add_volume("team", owner="alpha") / "note").write_text("from the volume")
        yield running


@pytest.fixture
async def guest(rig: EngineRig, cluster: CubefsCluster) -> AsyncIterator[MountEngine]:
    """An engine with the drivers and programs of a guest."""
    rig.limits = Limits(busy_s=0.5)
    rig.writable = (cluster.directory,)
    rig.more_drivers = {"rclone": RcloneDriver(), "cubefs": CubefsDriver()}
    rig.more_programs = {
        "rclone": Path(rclone_binary()),
        "cfs-client": cluster.client,
        "fusermount3": FUSERMOUNT,
    }
    async with rig.engine() as engine:
        yield engine


def rclone(rig: EngineRig, server: RcloneServer, path: str = "bucket", **config: str) -> ShareMount:
    options: dict[str, Any] = server.config | config
    block = {"type": options.pop("type"), "path": path, "config": options, "options": {"vfs-write-back": "1s"}}
    return parse_share({"id": "a", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block})


def cubefs(rig: EngineRig, cluster: CubefsCluster, **block: Any) -> ShareMount:
    where = {"volume": "team", "masters": cluster.masters, "owner": "alpha"} | block
    return parse_share({"id": "a", "mount_point": str(rig.root / "a"), "cubefs": where})


async def wait_until_queued(rig: EngineRig) -> None:
    """Return when the client has queued an upload."""
    socket = next(rig.private.rglob("rc.sock"))
    async with asyncio.timeout(10):
        while True:
            queue = (await call_control(socket, "vfs/queue", deadline_s=5))["queue"]
            if queue:
                return


def assert_nothing_is_there(rig: EngineRig) -> None:
    assert rig.live.mounts == {}
    assert rig.private_files() == []
    assert list(rig.root.iterdir()) == []


async def test_what_was_written_to_s3_is_stored_before_the_mount_goes(
    rig: EngineRig, guest: MountEngine, s3: RcloneServer
) -> None:
    """Uploads that rclone still queues are waited for; then client, files and directory are gone."""
    await guest.apply(rclone(rig, s3))
    assert await asyncio.to_thread((rig.root / "a" / "note").read_text) == "from the bucket"
    await asyncio.to_thread((rig.root / "a" / "new").write_text, "from the guest")
    await guest.apply(unmount("a"))
    assert (s3.root / "bucket" / "new").read_text() == "from the guest"
    assert_nothing_is_there(rig)


async def test_an_rclone_mount_survives_the_agent(rig: EngineRig, guest: MountEngine, s3: RcloneServer) -> None:
    """A second engine takes the client over; it still answers."""
    await guest.apply(rclone(rig, s3))
    pid = rig.pid_of("a")
    await guest.close()
    async with rig.engine() as second:
        assert (await second.adopt({A: rclone(rig, s3)})).adopted == (A,)
        await second.apply(rclone(rig, s3))
        assert rig.pid_of("a") == pid
        assert await asyncio.to_thread((rig.root / "a" / "note").read_text) == "from the bucket"
        await second.apply(unmount("a"))
    assert_nothing_is_there(rig)


@pytest.mark.parametrize(
    ("path", "config", "code"),
    [
        pytest.param("bucket", {"secret_access_key": "wrong-secret-key"}, ErrorCode.AUTH, id="wrong key"),
        pytest.param("no-such-bucket", {}, ErrorCode.NOT_FOUND, id="no such bucket"),
        pytest.param("bucket", {"endpoint": "http://127.0.0.1:1"}, ErrorCode.UNREACHABLE, id="no server"),
    ],
)
async def test_a_bad_remote_is_named_and_undone(
    rig: EngineRig, guest: MountEngine, s3: RcloneServer, path: str, config: dict[str, str], code: ErrorCode
) -> None:
    """What is wrong with a remote is said in its own code, without the secret, and nothing is left."""
    with pytest.raises(MountError) as caught:
        await guest.apply(rclone(rig, s3, path, **config))
    assert caught.value.code is code
    assert "wrong-secret-key" not in f"{caught.value} {caught.value.detail}"
    assert_nothing_is_there(rig)


async def test_a_killed_rclone_is_replaced(rig: EngineRig, guest: MountEngine, s3: RcloneServer) -> None:
    """A dead rclone mount is detached and mounted again, uploads of its cache included."""
    share = rclone(rig, s3)
    await guest.apply(share)
    await asyncio.to_thread((rig.root / "a" / "new").write_text, "not stored yet")
    await wait_until_queued(rig)  # rclone notes on disk what it queues; killed before that, it forgets the file
    rig.kill_client("a")
    await rig.wait_for_change(lambda error: error is not None)
    await guest.apply(share)
    assert guest.presence(A) is Presence.MOUNTED
    await guest.apply(unmount("a"))
    assert (s3.root / "bucket" / "new").read_text() == "not stored yet"
    assert_nothing_is_there(rig)


async def test_a_volume_is_mounted_and_left_by_unmounting(
    rig: EngineRig, guest: MountEngine, cluster: CubefsCluster
) -> None:
    """Unmounting is all that stops the client of a volume, and what was written is there."""
    await guest.apply(cubefs(rig, cluster))
    assert await asyncio.to_thread((rig.root / "a" / "note").read_text) == "from the volume"
    await asyncio.to_thread((rig.root / "a" / "new").write_text, "from the guest")
    await guest.apply(unmount("a"))
    assert (cluster.volume_dir("team") / "new").read_text() == "from the guest"
    assert_nothing_is_there(rig)


async def test_a_missing_volume_is_named_before_anything_starts(
    rig: EngineRig, guest: MountEngine, cluster: CubefsCluster
) -> None:
    """The masters say at once what the client would say much later."""
    with pytest.raises(MountError) as caught:
        await guest.apply(cubefs(rig, cluster, volume="nowhere"))
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert_nothing_is_there(rig)


async def test_a_dead_volume_mount_is_detached_before_the_next_start(
    rig: EngineRig, guest: MountEngine, cluster: CubefsCluster
) -> None:
    """The client refuses to start over a dead mount, so that goes first."""
    share = cubefs(rig, cluster)
    await guest.apply(share)
    rig.kill_client("a")
    await rig.wait_for_change(lambda error: error is not None)
    await guest.apply(share)
    assert guest.presence(A) is Presence.MOUNTED
    await guest.apply(unmount("a"))
    assert_nothing_is_there(rig)
