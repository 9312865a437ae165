"""A whole agent whose shares hang or stop: what its status says, and what it repairs by itself."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.parts.agent_process import AgentProcess
from tests.parts.processes import wait_until_ended
from tests.parts.rclone_servers import RcloneServer
from weft.wire.share import parse_share, share_to_builtins

pytestmark = pytest.mark.integration


@pytest.fixture
def agent(directory: Path) -> AgentProcess:
    """An agent that asks every second, with shares from its boot file."""
    settings = directory / "agent.toml"
    settings.write_text("probe_interval_s = 1\nprobe_deadline_s = 1\n")
    arguments = ("--config", str(settings), "--share-mounts", str(directory / "boot.json"))
    return AgentProcess(directory, "nats://127.0.0.1:1", arguments=arguments)


def want(agent: AgentProcess, config: dict[str, str], path: str = "") -> None:
    block = {"type": config["type"], "path": path, "config": config}
    share = {"id": "data", "backend": "rclone", "mount_point": str(agent.mounts / "data"), "rclone": block}
    (agent.directory / "boot.json").write_text(json.dumps([share_to_builtins(parse_share(share))]))


def client_pid(agent: AgentProcess) -> int:
    (live,) = json.loads((agent.state_dir / "live.json").read_text())["live"]
    return int(live["process"]["pid"])


def is_hung(status: dict[str, Any]) -> bool:
    (share,) = status["shares"]
    return share["state"] == "degraded" and share["error"]["code"] == "hung"


async def test_a_stopped_client_is_replaced(agent: AgentProcess) -> None:
    """Nobody has to come and look."""
    want(agent, {"type": "local"}, str(agent.source("pool")))
    async with agent:
        await agent.until_states(data="mounted")
        pid = client_pid(agent)
        os.kill(pid, signal.SIGSTOP)
        await wait_until_ended(pid)
        await agent.until_states(data="mounted")
        assert client_pid(agent) != pid
        assert (agent.mounts / "data" / "hello.txt").read_text() == "pool"
        await agent.ask("unmount", id="data")


async def test_a_share_whose_server_is_away_is_degraded_until_it_returns(agent: AgentProcess, tmp_path: Path) -> None:
    """Also for an agent that starts meanwhile; the client is the same all the time."""
    async with RcloneServer.sftp(tmp_path) as server:
        want(agent, server.config)
        async with agent:
            await agent.until_states(data="mounted")
            pid = client_pid(agent)
            server.suspend()
            status = await agent.until(is_hung)
            assert "since" in status["shares"][0]["error"]["message"]
            assert "retry_at" not in status["shares"][0]["error"]
            await agent.stop()
            await agent.start()
            await agent.until(is_hung)
            server.resume()
            await agent.until_states(data="mounted")
            assert client_pid(agent) == pid
            await agent.ask("unmount", id="data")
