"""``weft-agent``'s local commands, as a person at the guest types them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from nats.aio.client import Client

from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.shares import bind, encoded_set
from weft.wire.subjects import subject

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]


async def run(agent_run_dir: Path, command: str, *arguments: str) -> tuple[int, str, str]:
    """Run one command and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent", command, "--run-dir", str(agent_run_dir), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


async def test_a_guests_shares_can_be_looked_at_held_and_returned(agent: AgentProcess, nc: Client) -> None:
    """Status, route, wait, unmount and resync tell one story."""
    good = bind("good", str(agent.mounts / "good"), source=str(agent.source("good")))
    bad = bind("bad", "/etc/weft-test", source=str(agent.source("bad")))
    await nc.jetstream().publish(subject("vm-7"), encoded_set(1, good, bad))
    async with agent:
        await agent.until_states(good="mounted", bad="failed")
        code, table, _ = await run(agent.run_dir, "status")
        assert code == 0
        assert "good" in table
        assert "denied: cannot mount at '/etc/weft-test'" in table
        _, text, _ = await run(agent.run_dir, "status", "-o", "json")
        assert json.loads(text)["held_revision"] == 1
        assert await run(agent.run_dir, "wait", "good") == (0, "good: mounted\n", "")
        code, _, message = await run(agent.run_dir, "wait", "bad", "--timeout", "0.2")
        assert code == 3
        assert "denied" in message or "system directory" in message
        code, answer, _ = await run(agent.run_dir, "route", str(agent.mounts / "good/x"))
        assert (code, answer.split("\n")[0]) == (
            0,
            f"{agent.mounts}/good/x: share good, because {agent.mounts}/good is the only mount point at or above it",
        )
        _, answer, _ = await run(agent.run_dir, "route", "/etc/weft-test/x")
        assert "share bad, because" in answer
        assert "until it is mounted, a look there finds the guest's own files" in answer
        _, answer, _ = await run(agent.run_dir, "route", "/elsewhere", "-o", "json")
        assert json.loads(answer)["winner"] is None
        assert (await run(agent.run_dir, "unmount", "good"))[0] == 0
        assert (await agent.states())["good"] == "held"
        assert (await run(agent.run_dir, "resync"))[0] == 0
        assert (await run(agent.run_dir, "retry"))[0] == 0
        assert (await run(agent.run_dir, "wait", "good"))[0] == 0
        code, _, message = await run(agent.run_dir, "wait", "goof")
        assert code == 1
        assert "did you mean good?" in message
        await nc.jetstream().publish(subject("vm-7"), encoded_set(2))
        await agent.until_states()


@pytest.mark.parametrize("command", ["status", "resync", "retry"])
async def test_without_an_agent_every_command_says_so(directory: Path, command: str) -> None:
    """In one sentence, without a traceback."""
    code, _, message = await run(directory, command)
    assert code == 1
    assert message.count("\n") == 1
    assert "none is running there" in message


async def test_a_ledger_of_a_newer_agent_is_refused(agent: AgentProcess) -> None:
    """With what to do, and without touching it."""
    agent.state_dir.mkdir(parents=True)
    (agent.state_dir / "ledger.json").write_text('{"schema": 99, "vm": "vm-7"}')
    with pytest.raises(AssertionError, match="install the newer agent"):
        await agent.start()
    assert (agent.state_dir / "ledger.json").exists()


async def test_a_damaged_ledger_costs_no_live_mount(agent: AgentProcess, nc: Client) -> None:
    """The stream is the source again, and what is mounted stays mounted meanwhile."""
    good = bind("good", str(agent.mounts / "good"), source=str(agent.source("good")))
    await nc.jetstream().publish(subject("vm-7"), encoded_set(1, good))
    async with agent:
        await agent.until_states(good="mounted")
        before = read_mount_table().at(str(agent.mounts / "good"))
        await agent.stop()
        (agent.state_dir / "ledger.json").write_text("{ damaged")
        await agent.start()
        status = await agent.until(lambda status: status["held_revision"] == 1)
        await agent.until_states(good="mounted")
        assert "problem" not in status
        assert read_mount_table().at(str(agent.mounts / "good")) == before
        assert (agent.state_dir / "ledger.json.corrupt-1").exists()
        await nc.jetstream().publish(subject("vm-7"), encoded_set(2))
        await agent.until_states()
