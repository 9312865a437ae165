"""FUSE clients that die, stop, wait for ever, or are taken for somebody else."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.actual import Presence
from agent.mounts.liveness_watch import Rhythm
from agent.mounts.unmount import abort_connection
from tests.faults.guest import FaultyGuest, is_running, states_of
from tests.faults.timings import Timings
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.processes import wait_until_ended
from tests.parts.rclone_servers import RcloneServer
from tests.parts.reconciling import guest_on
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration


def looks_fine(mount_point: Path) -> bool:
    """Ask what most programs ask."""
    return mount_point.is_dir() and os.path.ismount(mount_point)


async def test_f01_killed_client_is_noticed_detached_and_remounted(
    guest: FaultyGuest, cluster: CubefsCluster, timings: Timings
) -> None:
    """By the exit of its process, whatever the client is; its neighbour keeps the client it has."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"), guest.cubefs("b", cluster), guest.rclone("c"))
        neighbour = guest.pid_of("c")
        for name in ("b", "a"):
            guest.forget_log()
            timings.injected()
            old = guest.kill_client(name)
            await guest.logged("mount.lost", share=name)
            timings.detected()
            await guest.until_replaced(name, old)
            timings.repaired()
            assert await guest.read(name)
            assert len(guest.entries_at(name)) == 1
        assert guest.pid_of("c") == neighbour
        await guest.settle()


async def test_f02_dead_mount_behind_a_warm_cache_is_found_by_a_question(rig: EngineRig, timings: Timings) -> None:
    """Its process lives and ``stat`` succeeds, yet nobody gets an answer: ``statvfs`` tells."""
    rig.rhythm = Rhythm(interval_s=0.1, deadline_s=0.5)
    rig.limits = replace(rig.limits, exit_s=0.2)
    where = rig.root / "a"
    async with guest_on(rig) as guest:
        await guest.settle(slate("a", where, mode="stubborn"))
        where.stat()
        (entry,) = rig.entries_at(where)
        timings.injected()
        await abort_connection(entry, walker=rig.walker)
        assert looks_fine(where)
        assert is_running(rig.pid_of("a"))
        await rig.wait_for_change(lambda error: error is not None)
        timings.detected()
        await guest.until(lambda _: guest.engine.presence(ShareId("a")) is Presence.MOUNTED and bool(rig.pid_of("a")))
        await guest.until_states(a="mounted")
        timings.repaired()
        assert (where / "hello").read_text() == "hello\n"


async def test_f03_stopped_client_is_aborted_so_that_everybody_is_freed(guest: FaultyGuest, timings: Timings) -> None:
    """A user's process in uninterruptible sleep gets an error, and the share returns under another client."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"), guest.rclone("b"))
        guest.forget_log()
        timings.injected()
        old = guest.stop_client("a")
        waiting = asyncio.create_task(asyncio.to_thread(os.statvfs, guest.at("a")))
        await guest.logged("mount.lost")
        timings.detected()
        with pytest.raises(OSError, match=os.strerror(errno.ECONNABORTED)):
            await waiting
        await guest.until_replaced("a", old)
        timings.repaired()
        assert await guest.read("a") == "a"
        assert not is_running(old)
        await guest.settle()


async def test_f04_agent_ends_and_starts_promptly_while_its_helpers_are_stuck(
    guest: FaultyGuest, sftp: RcloneServer, timings: Timings
) -> None:
    """A helper that waits for a hung mount cannot be killed, and nobody waits for it."""
    async with guest.agent:
        await guest.settle(guest.rclone("a", config=sftp.config))
        pid = guest.pid_of("a")
        timings.injected()
        sftp.suspend()
        await guest.agent.until_states(a="degraded")
        timings.detected()
        began_s = time.monotonic()
        assert await guest.agent.stop() == 0
        assert time.monotonic() - began_s < 2
        await guest.agent.start()
        await guest.agent.until(lambda status: "a" in states_of(status))
        sftp.resume()
        await guest.until_mounted("a")
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


async def test_f26_process_with_the_pid_of_a_dead_client_is_left_alone(guest: FaultyGuest, timings: Timings) -> None:
    """The start time tells it from the client; the share is brought back."""
    stranger = await asyncio.create_subprocess_exec("/bin/sleep", "60")
    try:
        async with guest.agent:
            await guest.settle(guest.rclone("a"))
            await guest.agent.stop(signal.SIGKILL)
            old = guest.kill_client("a")
            await wait_until_ended(old)
            path = guest.agent.state_dir / "live.json"
            document = json.loads(path.read_text())
            document["live"][0]["process"]["pid"] = stranger.pid
            path.write_text(json.dumps(document))
            timings.injected()
            await guest.agent.start()
            await guest.until_replaced("a", stranger.pid)
            timings.repaired()
            assert await guest.read("a") == "a"
            await guest.settle()
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_f31_shares_that_hang_or_fail_delay_no_other(
    guest: FaultyGuest, sftp: RcloneServer, timings: Timings
) -> None:
    """Five whose server says nothing and five that fail stand beside forty that are mounted at once."""
    sftp.suspend()
    hung = [guest.rclone(f"hung-{n}", config=sftp.config) for n in range(5)]
    failing = [guest.bind(f"failing-{n}", Path("/etc")) for n in range(5)]
    good = [guest.bind(f"good-{n}") for n in range(40)]
    names = {share.id for share in good}
    async with guest.agent:
        timings.injected()
        await guest.publish(*hung, *failing, *good)
        await guest.agent.until(
            lambda status: {name for name, state in states_of(status).items() if state == "mounted"} == names,
            deadline_s=10,
        )
        timings.detected()
        sftp.resume()
        await guest.agent.until(
            lambda status: all(state == "mounted" for name, state in states_of(status).items() if "failing" not in name)
        )
        timings.repaired()
        await guest.settle()


async def test_f46_backend_that_is_away_costs_nothing_but_waiting(
    guest: FaultyGuest, sftp: RcloneServer, cluster: CubefsCluster, timings: Timings
) -> None:
    """Nothing is aborted or remounted, and what was written meanwhile is stored when it returns."""
    async with guest.agent:
        await guest.settle(guest.rclone("a", config=sftp.config), guest.cubefs("b", cluster))
        pids = guest.pid_of("a"), guest.pid_of("b")
        guest.forget_log()
        timings.injected()
        sftp.suspend()
        cluster.stall("team")
        await guest.write("a", "new", "ebb")
        writing = asyncio.create_task(guest.write("b", "new", "flow"))
        await guest.agent.until(lambda status: states_of(status)["a"] == "degraded")
        timings.detected()
        sftp.resume()
        cluster.resume("team")
        await guest.until_mounted("a", "b")
        timings.repaired()
        await writing
        assert (guest.pid_of("a"), guest.pid_of("b")) == pids
        await guest.settle()
    assert (sftp.root / "new").read_text() == "ebb"
    assert (cluster.volume_dir("team") / "new").read_text() == "flow"
