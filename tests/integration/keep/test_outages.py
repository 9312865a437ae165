"""Backends that go away or refuse: clients recover by themselves, or with new keys, and never by a remount."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.drivers.cubefs import CubefsDriver
from agent.drivers.rclone import RcloneDriver
from agent.mounts.liveness_watch import Rhythm
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import WAIT_S, EngineRig
from tests.parts.processes import listening_ports
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.parts.shares import unmount
from weft.errors import ErrorCode
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration


def team_share(rig: EngineRig, cluster: CubefsCluster) -> ShareMount:
    """A share of the cluster's volume ``team``, on a guest that can mount it."""
    rig.writable = (cluster.directory,)
    rig.more_drivers = {"cubefs": CubefsDriver()}
    rig.more_programs = {"cfs-client": cluster.client, "fusermount3": Path("/usr/bin/fusermount3")}
    cubefs = {"volume": "team", "masters": cluster.masters, "owner": "alpha"}
    return parse_share({"id": "data", "mount_point": str(rig.root / "data"), "cubefs": cubefs})


async def test_stopped_metanodes_are_a_hang_that_is_waited_for(tmp_path: Path, rig: EngineRig) -> None:
    """``statvfs`` is answered from a cache, so a read of the root tells."""
    rig.rhythm = Rhythm(interval_s=0.1, deadline_s=0.5, read_every=1, read_deadline_s=0.5)
    async with CubefsCluster(tmp_path) as cluster:
        (cluster.add_volume("team", owner="alpha") / "hello").write_text("tide")
        share = team_share(rig, cluster)
        async with rig.engine() as engine:
            await engine.apply(share)
            pid = rig.pid_of("data")
            cluster.stall("team")
            waiting = asyncio.create_task(asyncio.to_thread((rig.root / "data" / "hello").read_text))
            hang = await rig.wait_for_change(lambda error: error is not None)
            assert hang is not None
            assert hang.code is ErrorCode.HUNG
            async with asyncio.timeout(WAIT_S):
                while len(rig.changes) < 6:
                    await rig.wait_for_next_change()
            cluster.resume("team")
            await rig.wait_for_change(lambda error: error is None)
            assert await waiting == "tide"
            assert rig.pid_of("data") == pid
            assert not any(error is not None and not error.keeps_old for _, error in rig.changes)
            await engine.apply(unmount("data"))


async def test_a_client_of_cubefs_accepts_no_connection(tmp_path: Path, rig: EngineRig) -> None:
    """Its control port would end it for any user of the guest who asks."""
    async with CubefsCluster(tmp_path) as cluster:
        cluster.add_volume("team", owner="alpha")
        share = team_share(rig, cluster)
        async with rig.engine() as engine:
            await engine.apply(share)
            assert listening_ports(rig.pid_of("data")) == []
            await engine.apply(unmount("data"))


async def test_keys_that_expired_are_told_and_new_ones_taken_live(tmp_path: Path, rig: EngineRig) -> None:
    """The mount looks fine until its root is read; it stays, and works again with the keys of a changed spec."""
    rig.rhythm = Rhythm(interval_s=0.2, read_every=1)
    rig.more_drivers = {"rclone": RcloneDriver()}
    rig.more_programs = {"rclone": Path(rclone_binary()), "fusermount3": Path("/usr/bin/fusermount3")}
    async with RcloneServer.s3(tmp_path) as server, rig.engine() as engine:
        (server.root / "bucket").mkdir()
        await engine.apply(s3_share(rig, server))
        pid = rig.pid_of("data")
        await server.rotate_keys()
        # While the server starts anew with its new keys, it may be found unreachable.
        expired = await rig.wait_for_change(lambda error: error is not None and error.code is ErrorCode.AUTH)
        assert expired is not None
        assert (expired.code, expired.keeps_old) == (ErrorCode.AUTH, True)
        await engine.apply(s3_share(rig, server))
        await rig.wait_for_change(lambda error: error is None)
        assert rig.pid_of("data") == pid
        await engine.apply(unmount("data"))


def s3_share(rig: EngineRig, server: RcloneServer) -> ShareMount:
    options = {"dir-cache-time": "100ms", "low-level-retries": "1"}
    block = {"type": "s3", "path": "bucket", "config": server.config, "options": options}
    return parse_share({"id": "data", "backend": "rclone", "mount_point": str(rig.root / "data"), "rclone": block})
