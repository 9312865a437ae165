"""The cubefs and rclone drivers under the real engine: bring-up, replacement, live changes, loss and drain."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.cubefs import CubefsDriver
from agent.drivers.rclone import RcloneDriver
from agent.mounts.parts import Limits
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.processes import wait_until_ended
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.parts.reconciling import guest_on
from weft.errors import DeniedError, ErrorCode, MountError
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    async with engine_rig(tmp_path) as made:
        made.more_drivers = {"cubefs": CubefsDriver(), "rclone": RcloneDriver(allow_types=frozenset({"local"}))}
        made.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
        made.limits = Limits()
        yield made


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[RcloneServer]:
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "bucket").mkdir()
        yield server


@pytest.fixture
async def cluster(tmp_path: Path, rig: EngineRig) -> AsyncIterator[CubefsCluster]:
    async with CubefsCluster(tmp_path / "cluster") as started:
        started.add_volume("team", owner="alpha")
        rig.more_programs["cfs-client"] = started.client
        rig.writable = (started.directory,)
        yield started


def rclone_share(rig: EngineRig, config: dict[str, str], path: str = "bucket", **fields: Any) -> ShareMount:
    block = {"type": config["type"], "path": path, "config": config, "options": {"vfs-write-back": "300ms"}}
    mount_point = str(rig.root / "data")
    return parse_share({"id": "data", "backend": "rclone", "mount_point": mount_point, "rclone": block, **fields})


def cubefs_share(rig: EngineRig, cluster: CubefsCluster, **block: Any) -> ShareMount:
    cubefs = {"volume": "team", "masters": cluster.masters, "owner": "alpha", **block}
    return parse_share({"id": "data", "mount_point": str(rig.root / "data"), "cubefs": cubefs})


UNMOUNT = parse_share({"id": "data", "action": "unmount"})


async def test_what_was_written_is_stored_before_an_rclone_share_goes(rig: EngineRig, s3: RcloneServer) -> None:
    """An unpublish right after a write loses nothing, and leaves neither file nor directory."""
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, s3.config))
        await asyncio.to_thread((rig.root / "data" / "new").write_text, "ebb")
        await engine.apply(UNMOUNT)
    assert (s3.root / "bucket" / "new").read_text() == "ebb"
    assert rig.private_files() == []
    assert list(rig.root.iterdir()) == []


async def test_rotated_keys_keep_client_and_mount(rig: EngineRig, s3: RcloneServer) -> None:
    """Open files and uploads live through a rotation."""
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, s3.config))
        pid = rig.pid_of("data")
        await s3.rotate_keys()
        await engine.apply(rclone_share(rig, s3.config))
        assert rig.pid_of("data") == pid
        await asyncio.to_thread((rig.root / "data" / "new").write_text, "ebb")
        await engine.apply(UNMOUNT)
    assert (s3.root / "bucket" / "new").read_text() == "ebb"


async def test_a_wrong_bucket_does_not_cost_the_mount_that_works(rig: EngineRig, s3: RcloneServer) -> None:
    """The mistake is found before the old mount goes."""
    (s3.root / "bucket" / "hello").write_text("tide")
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, s3.config))
        pid = rig.pid_of("data")
        with pytest.raises(MountError) as caught:
            await engine.apply(rclone_share(rig, s3.config, "nosuch"))
        assert caught.value.code is ErrorCode.NOT_FOUND
        assert rig.pid_of("data") == pid
        assert await asyncio.to_thread((rig.root / "data" / "hello").read_text) == "tide"
        await engine.apply(UNMOUNT)


async def test_refresh_does_not_remount(rig: EngineRig, s3: RcloneServer) -> None:
    """New content is there at once, the client is the same."""
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, s3.config))
        pid = rig.pid_of("data")
        assert await asyncio.to_thread(os.listdir, rig.root / "data") == []
        (s3.root / "bucket" / "hello").write_text("tide")
        await engine.apply(rclone_share(rig, s3.config, refresh=1))
        assert await asyncio.to_thread(os.listdir, rig.root / "data") == ["hello"]
        assert rig.pid_of("data") == pid
        await engine.apply(UNMOUNT)


async def test_local_directories_are_shown_only_below_the_source_roots(rig: EngineRig) -> None:
    """Also where another remote wraps them."""
    (rig.sources / "pool").mkdir()
    (rig.sources / "pool" / "hello").write_text("tide")
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, {"type": "alias", "remote": str(rig.sources / "pool")}, ""))
        assert await asyncio.to_thread(os.listdir, rig.root / "data") == ["hello"]
        await engine.apply(UNMOUNT)
        with pytest.raises(DeniedError):
            await engine.apply(rclone_share(rig, {"type": "alias", "remote": "/etc"}, ""))


async def test_a_local_directory_is_shown_as_root_sees_it(rig: EngineRig) -> None:
    """A user's own directory would else be an empty one that nobody can write to."""
    pool = rig.sources / "pool"
    pool.mkdir(mode=0o700)
    (pool / "note").write_text("tide")
    (pool / "note").chmod(0o600)
    for path in (pool, pool / "note"):
        os.chown(path, 1000, 1000)
    async with rig.engine() as engine:
        await engine.apply(rclone_share(rig, {"type": "local"}, str(pool)))
        assert await asyncio.to_thread((rig.root / "data" / "note").read_text) == "tide"
        await asyncio.to_thread((rig.root / "data" / "new").write_text, "ebb")
        await engine.apply(UNMOUNT)
    assert (pool / "new").read_text() == "ebb"


async def test_a_volume_is_mounted_lost_and_healed(rig: EngineRig, cluster: CubefsCluster) -> None:
    """The dead mount that a killed client leaves is taken away before the next one starts."""
    (cluster.volume_dir("team") / "hello").write_text("tide")
    share = cubefs_share(rig, cluster)
    async with rig.engine() as engine:
        await engine.apply(share)
        rig.kill_client("data")
        await rig.wait_for_change(lambda error: error is not None)
        await engine.apply(share)
        assert await asyncio.to_thread((rig.root / "data" / "hello").read_text) == "tide"
        assert len(rig.entries_at(rig.root / "data")) == 1
        await engine.apply(UNMOUNT)
    assert list(rig.root.iterdir()) == []


async def test_what_only_the_client_finds_out_is_named_and_undone(rig: EngineRig, cluster: CubefsCluster) -> None:
    """A subdir that is missing is no secret, and nothing stays behind."""
    async with rig.engine() as engine:
        with pytest.raises(MountError) as caught:
            await engine.apply(cubefs_share(rig, cluster, subdir="no/such"))
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert "no/such" in caught.value.detail
    assert list(rig.root.iterdir()) == []


async def test_a_parent_that_died_while_no_agent_ran_goes_with_what_lies_in_it(
    rig: EngineRig, cluster: CubefsCluster
) -> None:
    """Nothing below it can be unmounted one by one: it is detached as a whole, and all of it returns."""
    (cluster.volume_dir("team") / "q" / "r").mkdir(parents=True)
    parent = cubefs_share(rig, cluster)
    inside = rig.root / "data" / "q" / "r"
    child = slate("child", inside)
    async with rig.engine() as first:
        await first.apply(parent)
        await first.apply(child)
    pid = rig.pid_of("data")
    rig.kill_client("data")
    await wait_until_ended(pid)
    async with guest_on(rig, found=[parent, child]) as guest:
        await guest.until_states(data="mounted", child="mounted")
        assert rig.pid_of("data") != pid
        assert (inside / "hello").read_text() == "hello\n"
        assert [len(rig.entries_at(where)) for where in (rig.root / "data", inside)] == [1, 1]
