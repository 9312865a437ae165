"""An agent whose mounts somebody else takes away, again and again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.parts.agent_process import AgentProcess
from tests.parts.shares import bind
from weft.wire.share import share_to_builtins

pytestmark = pytest.mark.integration


def is_up(status: dict[str, Any]) -> bool:
    return [share["state"] for share in status["shares"]] == ["mounted"]


def unmount_behind_its_back(agent: AgentProcess) -> None:
    subprocess.run(["umount", agent.mounts / "a"], check=True)


async def test_a_fight_over_a_mount_point_is_slowed_and_told(directory: Path) -> None:
    """The first losses are repaired at once; then each repair waits longer, and log and status say why."""
    boot_file = directory / "boot.json"
    agent = AgentProcess(directory, "nats://127.0.0.1:1", arguments=("--share-mounts", str(boot_file)))
    share = bind("a", str(agent.mounts / "a"), source=str(agent.source("a")))
    boot_file.write_text(json.dumps([share_to_builtins(share)]))
    async with agent:
        for _ in range(2):
            await agent.until(is_up)
            unmount_behind_its_back(agent)
        status = await agent.until(lambda status: "in a row" in json.dumps(status))
        assert status["shares"][0]["state"] == "backoff"
        assert "retry_at" in status["shares"][0]["error"]
        await agent.until(is_up)
        await agent.ask("unmount", id="a")
    told = [json.loads(line) for line in agent.log_path.read_text().splitlines()]
    losses = [line for line in told if line["event"] == "mount.lost"]
    assert [line["attempt"] for line in losses] == [1, 2]
    assert losses[1]["delay_s"] > 0
