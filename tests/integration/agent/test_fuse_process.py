"""The agent as a real process with real FUSE clients: they outlive it, and are replaced when they die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.parts.agent_process import AgentProcess
from tests.parts.shares import encoded_set
from weft.wire.share import ShareMount, parse_share
from weft.wire.subjects import subject

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]


def share(agent: AgentProcess, name: str, mount_point: str = "", **fields: object) -> ShareMount:
    return parse_share(
        {
            "id": name,
            "backend": "rclone",
            "mount_point": str(agent.mounts / (mount_point or name)),
            "rclone": {"type": "local", "path": str(agent.source(name))},
            **fields,
        }
    )


def client_pids(agent: AgentProcess) -> dict[str, int]:
    """Return the pid of each share's client, as the ledger has it."""
    live = json.loads((agent.state_dir / "live.json").read_text())["live"]
    return {each["share"]["id"]: each["process"]["pid"] for each in live if each["process"]}


def is_running(pid: int) -> bool:
    """Say whether *pid* is a process; one that nobody has reaped has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


async def publish(nc: Client, revision: int, *shares: ShareMount) -> None:
    await nc.jetstream().publish(subject("vm-7"), encoded_set(revision, *shares))


async def test_clients_outlive_the_agent_and_are_adopted(agent: AgentProcess, nc: Client) -> None:
    """After SIGKILL and after SIGTERM the same client still serves the same mount."""
    await publish(nc, 1, share(agent, "a"), share(agent, "c", "a/sub"))
    (agent.source("a") / "sub").mkdir()
    async with agent:
        await agent.until_states(a="mounted", c="mounted")
        before = client_pids(agent)
        assert (agent.mounts / "a/sub/hello.txt").read_text() == "c"
        for number in (signal.SIGKILL, signal.SIGTERM):
            await agent.stop(number)
            assert (agent.mounts / "a/hello.txt").read_text() == "a"
            await agent.start()
            await agent.until_states(a="mounted", c="mounted")
            assert client_pids(agent) == before
        await publish(nc, 2)
        await agent.until_states()
        assert not any(is_running(pid) for pid in before.values())


async def test_a_killed_client_is_replaced(agent: AgentProcess, nc: Client) -> None:
    """Another pid serves the share a moment later, and its neighbour's client is the same."""
    await publish(nc, 1, share(agent, "a"), share(agent, "b"))
    async with agent:
        await agent.until_states(a="mounted", b="mounted")
        before = client_pids(agent)
        os.kill(before["a"], signal.SIGKILL)
        await agent.until(lambda status: client_pids(agent).get("a", before["a"]) != before["a"])
        await agent.until_states(a="mounted", b="mounted")
        assert client_pids(agent)["b"] == before["b"]
        assert (agent.mounts / "a/hello.txt").read_text() == "a"
        await publish(nc, 2)
        await agent.until_states()


async def test_a_dead_parent_is_rebuilt_with_its_child(agent: AgentProcess, nc: Client) -> None:
    """The child's mount went down with it and comes back after it."""
    await publish(nc, 1, share(agent, "p"), share(agent, "c", "p/sub"))
    (agent.source("p") / "sub").mkdir()
    async with agent:
        await agent.until_states(p="mounted", c="mounted")
        before = client_pids(agent)
        os.kill(before["p"], signal.SIGKILL)
        await agent.until(lambda status: client_pids(agent).get("p", before["p"]) != before["p"])
        await agent.until_states(p="mounted", c="mounted")
        assert (agent.mounts / "p/sub/hello.txt").read_text() == "c"
        await publish(nc, 2)
        await agent.until_states()


async def test_a_changed_share_is_replaced_and_a_refreshed_one_is_not(agent: AgentProcess, nc: Client) -> None:
    """The client tells them apart."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        first = client_pids(agent)["a"]
        await publish(nc, 2, share(agent, "a", refresh=1))
        await agent.until(lambda status: status["held_revision"] == 2)
        await agent.until_states(a="mounted")
        assert client_pids(agent)["a"] == first
        await publish(nc, 3, share(agent, "a", refresh=1, readonly=True))
        await agent.until(lambda status: client_pids(agent).get("a", first) != first)
        await agent.until_states(a="mounted")
        with pytest.raises(OSError, match="Read-only"):
            (agent.mounts / "a/new.txt").write_text("x")
        await publish(nc, 4)
        await agent.until_states()


@pytest.fixture
async def silent_server() -> AsyncIterator[int]:
    """The port of a server that accepts connections and never says anything."""
    held: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    for writer in held:
        writer.close()
    server.close()


def silent_share(agent: AgentProcess, port: int) -> ShareMount:
    return parse_share(
        {
            "id": "slow",
            "backend": "rclone",
            "mount_point": str(agent.mounts / "slow"),
            "rclone": {
                "type": "sftp",
                "config": {"host": "127.0.0.1", "port": port, "user": "u", "pass": "secret-word"},
            },
        }
    )


async def test_a_share_that_takes_its_time_delays_nobody(agent: AgentProcess, nc: Client, silent_server: int) -> None:
    """Not its neighbour, not a later message, not the end of the agent, and its secret shows nowhere."""
    slow = silent_share(agent, silent_server)
    await publish(nc, 1, slow, share(agent, "a"))
    async with agent:
        await agent.until_states(slow="mounting", a="mounted")
        await publish(nc, 2, slow, share(agent, "a"), share(agent, "b"))
        await agent.until_states(slow="mounting", a="mounted", b="mounted")
        began = time.monotonic()
        assert await agent.stop() == 0
        assert time.monotonic() - began < 1.5
        await agent.start()
        await agent.until_states(slow="mounting", a="mounted", b="mounted")
        await publish(nc, 3)
        await agent.until_states()
    assert "secret-word" not in agent.log_path.read_text()
