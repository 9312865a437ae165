"""``weft-agent unmount --all``, as at machine shutdown: in order, bounded, whatever the shares' clients do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.rclone_servers import RcloneServer
from weft.wire.share import ShareMount, parse_share, share_to_builtins

pytestmark = pytest.mark.integration


def rclone(agent: AgentProcess, share_id: str, mount_point: str, config: dict[str, str], path: str) -> ShareMount:
    block = {"type": config["type"], "path": path, "config": config, "options": {"vfs-write-back": "60s"}}
    where = str(agent.mounts / mount_point)
    return parse_share({"id": share_id, "backend": "rclone", "mount_point": where, "rclone": block})


def pid_of(agent: AgentProcess, share_id: str) -> int:
    live = json.loads((agent.state_dir / "live.json").read_text())["live"]
    return int(next(each["process"]["pid"] for each in live if each["share"]["id"] == share_id))


async def unmount_all(agent: AgentProcess) -> tuple[int | None, str, str]:
    """Run the command as weft-shares.service does."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", "unmount", "--all", "--shutdown", "--timeout", "60"),
        *("--run-dir", str(agent.run_dir)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await command.communicate()
    return command.returncode, out.decode(), err.decode()


async def test_everything_goes_in_order_and_bounded_also_what_hangs(directory: Path, tmp_path: Path) -> None:
    """A client that is stopped below its child, one whose server is frozen, and one with files still to store."""
    boot_file = directory / "boot.json"
    agent = AgentProcess(directory, "nats://127.0.0.1:1", arguments=("--share-mounts", str(boot_file)))
    local = {"type": "local"}
    async with RcloneServer.sftp(tmp_path) as server:
        (agent.source("stopped") / "below").mkdir()
        shares = [
            rclone(agent, "good", "good", local, str(agent.source("good"))),
            rclone(agent, "stopped", "stopped", local, str(agent.source("stopped"))),
            rclone(agent, "child", "stopped/below", local, str(agent.source("child"))),
            rclone(agent, "frozen", "frozen", server.config, ""),
        ]
        boot_file.write_text(json.dumps([share_to_builtins(share) for share in shares]))
        async with agent:
            await agent.until_states(good="mounted", stopped="mounted", child="mounted", frozen="mounted")
            await asyncio.to_thread((agent.mounts / "frozen" / "new").write_text, "ebb")
            os.kill(pid_of(agent, "stopped"), signal.SIGSTOP)
            server.suspend()
            began_s = time.monotonic()
            code, out, err = await unmount_all(agent)
            took_s = time.monotonic() - began_s
            assert (code, sorted(line.split(":")[0] for line in out.splitlines())) == (0, sorted(s.id for s in shares))
            assert took_s < 30
            assert "1 files (3 bytes) of share 'frozen'" in err
            assert read_mount_table().below(str(agent.mounts)) == ()
            assert await agent.states() == dict.fromkeys((share.id for share in shares), "held")
            server.resume()
