"""A mount or a process that a test forgot is found and can be taken away, also when it hangs."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.parts.cubefs import CubefsCluster
from tests.parts.leftovers import find_leftovers, remove_leftovers
from tests.parts.processes import wait_until_ended

pytestmark = pytest.mark.integration


async def test_hung_client_and_its_mount_are_found_and_removed(tmp_path: Path) -> None:
    """Both are named, and nothing of them is left after removal."""
    mount_point = tmp_path / "a mount"
    async with CubefsCluster(tmp_path) as cluster:
        cluster.add_volume("team-data", owner="team_alpha")
        options = {
            "mountPoint": mount_point,
            "volName": "team-data",
            "owner": "team_alpha",
            "masterAddr": cluster.masters[0],
            "logDir": tmp_path / "log",
            "exporterEnable": "false",
        }
        words = [str(word) for key, value in options.items() for word in (f"-{key}", value)]
        starter = await asyncio.create_subprocess_exec(cluster.client, *words)
        assert await starter.wait() == 0

        found = find_leftovers(tmp_path)
        assert found.mount_points == (str(mount_point),)
        assert [str(mount_point) in command for _, command in found.processes] == [True]

        pid, _ = found.processes[0]
        os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(remove_leftovers, tmp_path)
        await wait_until_ended(pid)
        assert not find_leftovers(tmp_path)
