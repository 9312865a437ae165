"""Shares that must go while somebody uses them, while files are still to be stored, or while their server is silent."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from agent.mounts.table import read_mount_table
from tests.faults.guest import FaultyGuest, is_running, states_of
from tests.faults.rigged import give_rclone, rclone_share
from tests.faults.timings import Timings
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig
from tests.parts.rclone_servers import RcloneServer
from tests.parts.reconciling import guest_on
from weft.errors import BusyError

pytestmark = pytest.mark.integration

HOLD = "import sys,time; file = open(sys.argv[1]); print('held', flush=True); time.sleep(60)"


async def test_f12_share_in_use_names_its_holders_waits_and_is_detached(
    rig: EngineRig, sftp: RcloneServer, timings: Timings
) -> None:
    """The wait is bounded; the holder is left alone, and is told of before and after."""
    give_rclone(rig)
    share = rclone_share(rig, sftp)
    async with guest_on(rig) as guest:
        await guest.settle(share)
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLD, str(rig.root / "a" / "hello.txt"), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert holder.stdout is not None
            assert await holder.stdout.readline() == b"held\n"
            timings.injected()
            guest.want()
            await rig.wait_for_remark()
            timings.detected()
            await guest.settle()
            timings.repaired()
            waiting, detached = (remark for _, remark in rig.remarks)
            for remark in (waiting, detached):
                assert isinstance(remark, BusyError)
                assert f"pid {holder.pid} (" in remark.detail
                assert str(rig.root / "a" / "hello.txt") in remark.detail
            assert "detached" in str(detached)
            assert rig.entries_at(rig.root / "a") == ()
            assert holder.returncode is None
        finally:
            holder.kill()
            await holder.wait()


async def test_f13_queued_uploads_are_stored_before_the_share_goes_or_kept_and_told(
    guest: FaultyGuest, sftp: RcloneServer, timings: Timings
) -> None:
    """What was to be stored in a minute is stored at once; what the server does not take is sent when it returns."""
    share = guest.rclone("a", config=sftp.config, options={"vfs-write-back": "60s"})
    async with guest.agent:
        await guest.settle(share)
        await guest.write("a", "first", "ebb")
        timings.injected()
        await guest.settle()
        timings.repaired()
        assert (sftp.root / "first").read_text() == "ebb"
        await guest.settle(share)
        await guest.write("a", "second", "flow")
        sftp.suspend()
        await guest.agent.until_states(a="degraded")
        await guest.publish()
        kept = await guest.logged("uploads.kept", share="a")
        assert (kept["pending"], kept["bytes"]) == (1, 4)
        await guest.agent.until_states()
        sftp.resume()
        await guest.settle(share)
        await guest.settle()
    assert (sftp.root / "second").read_text() == "flow"


async def test_f21_shutdown_is_bounded_whatever_the_servers_do(
    guest: FaultyGuest, sftp: RcloneServer, cluster: CubefsCluster, timings: Timings
) -> None:
    """The command of the shutdown unit ends, and nothing is mounted then; users that hang are freed."""
    async with guest.agent:
        await guest.settle(guest.rclone("a", config=sftp.config), guest.cubefs("b", cluster), guest.rclone("c"))
        pids = [guest.pid_of(name) for name in "abc"]
        sftp.suspend()
        await guest.agent.until(lambda status: states_of(status)["a"] == "degraded")
        cluster.stall("team")
        waiting = asyncio.create_task(asyncio.to_thread(os.statvfs, guest.at("a")))
        timings.injected()
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "unmount", "--all", "--shutdown", "--timeout", "75"),
            *("--run-dir", str(guest.agent.run_dir)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            assert await command.wait() == 0
        timings.repaired()
        assert read_mount_table().below(str(guest.agent.mounts)) == ()
        assert not any(is_running(pid) for pid in pids)
        cluster.resume("team")
        with pytest.raises(OSError, match=r"connection abort|not connected"):
            await waiting
        sftp.resume()
