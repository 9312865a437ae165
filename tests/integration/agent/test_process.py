"""The agent as a real process with real mounts: its whole story, its deaths and returns."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nats.aio.client import Client

from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.shares import bind, encoded_set
from weft.wire.share import ShareMount, share_to_builtins
from weft.wire.status import decode_status
from weft.wire.subjects import MOUNTS_STREAM, subject

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]


def share(agent: AgentProcess, name: str, mount_point: str = "", **fields: object) -> ShareMount:
    return bind(name, str(agent.mounts / (mount_point or name)), source=str(agent.source(name)), **fields)


async def publish(nc: Client, revision: int, *shares: ShareMount, vm: str = "vm-7") -> None:
    await nc.jetstream().publish(subject(vm), encoded_set(revision, *shares, vm=vm))


def mount_ids(agent: AgentProcess) -> dict[str, list[int]]:
    """Return the kernel's mount ids by mount point below the agent's root: two ids are a stack."""
    found: dict[str, list[int]] = {}
    for entry in read_mount_table().below(str(agent.mounts)):
        found.setdefault(Path(entry.mount_point).name, []).append(entry.mount_id)
    return found


def unmount_behind_its_back(agent: AgentProcess, name: str) -> None:
    subprocess.run(["umount", str(agent.mounts / name)], check=True)


async def test_shares_published_before_and_after_the_start_are_mounted_and_taken_away(
    agent: AgentProcess, nc: Client
) -> None:
    """And readable, with directories made for them that go with them."""
    a, b = share(agent, "a"), share(agent, "b", readonly=True)
    await publish(nc, 1, a)
    async with agent:
        await agent.until_states(a="mounted")
        await publish(nc, 2, a, b)
        await agent.until_states(a="mounted", b="mounted")
        assert (agent.mounts / "a/hello.txt").read_text() == "a"
        with pytest.raises(OSError, match="Read-only"):
            (agent.mounts / "b/new.txt").write_text("x")
        await publish(nc, 3)
        await agent.until_states()
    assert mount_ids(agent) == {}
    assert list(agent.mounts.iterdir()) == []


async def test_an_unchanged_republish_touches_nothing(agent: AgentProcess, nc: Client) -> None:
    """The same mount is there afterwards."""
    a = share(agent, "a")
    await publish(nc, 1, a)
    async with agent:
        await agent.until_states(a="mounted")
        before = mount_ids(agent)
        await publish(nc, 2, a)
        await agent.until(lambda status: status["held_revision"] == 2)
        await agent.until_states(a="mounted")
        assert mount_ids(agent) == before
        await publish(nc, 3)
        await agent.until_states()


async def test_a_child_is_mounted_after_its_parent_and_unmounted_before_it(agent: AgentProcess, nc: Client) -> None:
    """Listed in any order."""
    parent, child = share(agent, "p"), share(agent, "c", "p/sub")
    (agent.source("p") / "sub").mkdir()
    await publish(nc, 1, child, parent)
    async with agent:
        await agent.until_states(p="mounted", c="mounted")
        assert (agent.mounts / "p/sub/hello.txt").read_text() == "c"
        await publish(nc, 2)
        await agent.until_states()
    assert mount_ids(agent) == {}


async def test_a_killed_agents_mounts_are_adopted(agent: AgentProcess, nc: Client) -> None:
    """Not remounted, not stacked; what was withdrawn meanwhile goes."""
    a, b = share(agent, "a"), share(agent, "b")
    await publish(nc, 1, a, b)
    async with agent:
        await agent.until_states(a="mounted", b="mounted")
        before = mount_ids(agent)
        await agent.stop(signal.SIGKILL)
        assert mount_ids(agent) == before
        await agent.start()
        await agent.until_states(a="mounted", b="mounted")
        assert mount_ids(agent) == before
        await agent.stop(signal.SIGKILL)
        await publish(nc, 2, a)
        await agent.start()
        await agent.until_states(a="mounted")
        assert mount_ids(agent) == {"a": before["a"]}
        await publish(nc, 3)
        await agent.until_states()


async def test_sigterm_is_prompt_and_leaves_the_mounts(agent: AgentProcess, nc: Client) -> None:
    """An upgrade of the agent interrupts nobody's work."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        before = mount_ids(agent)
        began = time.monotonic()
        assert await agent.stop() == 0
        assert time.monotonic() - began < 1.0
        assert mount_ids(agent) == before
        assert not (agent.run_dir / "agent.sock").exists()
        await agent.start()
        await publish(nc, 2)
        await agent.until_states()


async def test_without_a_broker_the_ledger_counts(agent: AgentProcess, nc: Client, broker: Broker) -> None:
    """A guest that boots while the broker is down mounts what it was told last, and converges on its return."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        await agent.stop()
        await broker.stop()
        unmount_behind_its_back(agent, "a")
        await agent.start()
        status = await agent.until_states(a="mounted")
        assert status["mode"] == "offline"
        await broker.start()
        await publish(nc, 2)
        status = await agent.until_states()
        assert status["mode"] == "jetstream"


async def test_an_emptied_stream_unmounts_nothing(agent: AgentProcess, nc: Client) -> None:
    """Nor does a new start with an empty stream."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        before = mount_ids(agent)
        await nc.jetstream().purge_stream(MOUNTS_STREAM)
        await agent.ask("resync")
        await agent.stop()
        await agent.start()
        await agent.ask("resync")
        await agent.until_states(a="mounted")
        assert mount_ids(agent) == before
        await publish(nc, 2)
        await agent.until_states()


async def test_a_share_unmounted_behind_our_back_returns(agent: AgentProcess, nc: Client) -> None:
    """It is noticed at once."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        unmount_behind_its_back(agent, "a")
        await agent.until(lambda status: "a" in mount_ids(agent))
        await agent.until_states(a="mounted")
        await publish(nc, 2)
        await agent.until_states()


async def test_a_bad_share_stops_nobody(agent: AgentProcess, nc: Client) -> None:
    """Policy, a missing source and an unknown backend each have a sentence; the good share is mounted."""
    good = share(agent, "good")
    denied = bind("denied", "/etc/weft-test", source=str(agent.source("denied")))
    missing = bind("missing", str(agent.mounts / "missing"), source=str(agent.sources / "nowhere"))
    elements = [share_to_builtins(each) for each in (good, denied, missing)]
    elements.append({"id": "odd", "backend": "floppy", "mount_point": "/mnt/odd"})
    message = {"vm": "vm-7", "revision": 1, "shares": elements}
    await nc.jetstream().publish(subject("vm-7"), json.dumps(message).encode())
    async with agent:
        status = await agent.until(
            lambda status: (
                {s["id"]: s["state"] for s in status["shares"]}
                in (
                    {"good": "mounted", "denied": "failed", "missing": "backoff", "odd": "rejected"},
                    {"good": "mounted", "denied": "failed", "missing": "failed", "odd": "rejected"},
                )
            )
        )
        errors = {s["id"]: s["error"]["code"] for s in status["shares"] if "error" in s}
        assert errors["denied"] == "denied"
        assert errors["missing"] == "not_found"
        assert errors["odd"] == "bad_spec"
        await publish(nc, 2)
        await agent.until_states()


async def test_the_boot_file_is_mounted_without_any_broker(directory: Path) -> None:
    """One bad element does not stop the others, and a broker that refuses connections is no obstacle."""
    boot_file = directory / "boot.json"
    agent = AgentProcess(directory, "nats://127.0.0.1:1", arguments=("--share-mounts", str(boot_file)))
    elements = [{"id": "bad", "mount_point": "relative"}, share_to_builtins(share(agent, "a"))]
    boot_file.write_text(json.dumps(elements))
    async with agent:
        await agent.until_states(a="mounted")
        assert (await agent.ask("unmount", id="a"))["unmounted"] == ["a"]


async def test_status_is_published_for_the_operator(agent: AgentProcess, nc: Client) -> None:
    """With revision, digest and state."""
    reports = await nc.subscribe("weft.status.vm-7")
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        async with asyncio.timeout(10):
            async for msg in reports.messages:
                status = decode_status(msg.data)
                if any(each.state == "mounted" for each in status.shares):
                    break
        assert status.held_revision == 1
        assert status.boot_id
        assert status.agent is not None
        assert status.shares[0].digest
        await publish(nc, 2)
        await agent.until_states()


async def test_a_held_share_stays_away_until_resync(agent: AgentProcess, nc: Client) -> None:
    """Also over a restart of the agent."""
    await publish(nc, 1, share(agent, "a"), share(agent, "b"))
    async with agent:
        await agent.until_states(a="mounted", b="mounted")
        await agent.ask("unmount", id="a")
        assert await agent.states() == {"a": "held", "b": "mounted"}
        await agent.stop()
        await agent.start()
        await agent.until_states(a="held", b="mounted")
        await agent.ask("resync")
        await agent.until_states(a="mounted", b="mounted")
        assert (await agent.ask("wait", id="a"))["state"] == "mounted"
        answer = await agent.ask("route", path=str(agent.mounts / "a/deep/file"))
        assert answer["winner"] == "a"
        await publish(nc, 2)
        await agent.until_states()


async def test_only_root_may_change_anything(agent: AgentProcess, nc: Client) -> None:
    """Everybody may look."""
    await publish(nc, 1, share(agent, "a"))
    agent.directory.chmod(0o755)
    async with agent:
        await agent.until_states(a="mounted")
        answers = _ask_as_nobody(agent, '{"do":"status"}\n{"do":"unmount","id":"a"}\n')
        assert answers[0]["status"]["vm"] == "vm-7"
        assert "only root" in answers[1]["error"]
        await publish(nc, 2)
        await agent.until_states()


def _ask_as_nobody(agent: AgentProcess, lines: str) -> list[dict[str, dict[str, str]]]:
    script = (
        "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
        "s.sendall(sys.argv[2].encode());s.shutdown(1);print(s.makefile().read())"
    )
    command = ["/usr/bin/python3", "-c", script, str(agent.run_dir / "agent.sock"), lines]
    done = subprocess.run(command, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line]


async def test_a_second_agent_is_refused(agent: AgentProcess, nc: Client) -> None:
    """With a sentence that names the first."""
    async with agent:
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "run", "--vm", "vm-8", "--nats", agent.url),
            *("--run-dir", str(agent.run_dir), "--state-dir", str(agent.directory / "state2")),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(10):
            _, stderr = await second.communicate()
        assert second.returncode == 2
        assert f"pid {agent.pid}" in stderr.decode()


async def test_another_vms_ledger_is_set_aside(agent: AgentProcess, nc: Client) -> None:
    """A cloned template must not mount what its original had."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        await agent.until_states(a="mounted")
        await publish(nc, 2)
        await agent.until_states()
        await agent.stop()
        agent.vm = "vm-8"
        await agent.start()
        await agent.until_states()
        assert (agent.state_dir / "ledger.json.corrupt-1").exists()


async def test_a_change_that_cannot_be_made_keeps_the_old_mount(agent: AgentProcess, nc: Client) -> None:
    """It is degraded, with the digest of what is mounted; the next good change is made."""
    await publish(nc, 1, share(agent, "a"))
    async with agent:
        first = await agent.until_states(a="mounted")
        before = mount_ids(agent)
        await publish(nc, 2, bind("a", str(agent.mounts / "a"), source="/etc"))
        status = await agent.until_states(a="degraded")
        assert mount_ids(agent) == before
        assert status["shares"][0]["digest"] == first["shares"][0]["digest"]
        assert status["shares"][0]["error"]["code"] == "denied"
        await publish(nc, 3, share(agent, "a", readonly=True))
        await agent.until_states(a="mounted")
        with pytest.raises(OSError, match="Read-only"):
            (agent.mounts / "a/new.txt").write_text("x")
        await publish(nc, 4)
        await agent.until_states()


async def test_a_parent_that_comes_later_gets_below_its_child(agent: AgentProcess, nc: Client) -> None:
    """The child is up while the parent fails, goes down for it, and returns upon it."""
    parent = bind("p", str(agent.mounts / "p"), source=str(agent.sources / "p"))
    await publish(nc, 1, parent, share(agent, "c", "p/sub"))
    async with agent:
        await agent.until(
            lambda status: [s["state"] for s in status["shares"]] in (["backoff", "mounted"], ["failed", "mounted"])
        )
        (agent.source("p") / "sub").mkdir()
        await agent.ask("retry", id="p")
        await agent.until_states(p="mounted", c="mounted")
        assert (agent.mounts / "p/hello.txt").read_text() == "p"
        assert (agent.mounts / "p/sub/hello.txt").read_text() == "c"
        assert [len(ids) for ids in mount_ids(agent).values()] == [1, 1]
        await publish(nc, 2)
        await agent.until_states()
    assert mount_ids(agent) == {}


async def test_two_shares_that_swap_places_both_arrive(agent: AgentProcess, nc: Client) -> None:
    """Nothing is stacked on the way."""
    await publish(nc, 1, share(agent, "a", "one"), share(agent, "b", "two"))
    async with agent:
        await agent.until_states(a="mounted", b="mounted")
        await publish(nc, 2, share(agent, "a", "two"), share(agent, "b", "one"))
        await agent.until(lambda status: status["held_revision"] == 2)
        await agent.until_states(a="mounted", b="mounted")
        assert (agent.mounts / "one/hello.txt").read_text() == "b"
        assert (agent.mounts / "two/hello.txt").read_text() == "a"
        assert [len(ids) for ids in mount_ids(agent).values()] == [1, 1]
        await publish(nc, 3)
        await agent.until_states()


async def test_the_agent_answers_while_its_ledger_cannot_be_written(agent: AgentProcess, nc: Client) -> None:
    """It goes on in memory and says so."""
    async with agent:
        await agent.until(lambda status: status["mode"] == "jetstream")
        for path in agent.state_dir.iterdir():
            if path.is_file():
                path.unlink()
        agent.state_dir.rename(agent.directory / "moved")
        await publish(nc, 1, share(agent, "a"))
        status = await agent.until_states(a="mounted")
        assert "cannot write" in status["problem"]["message"]
        await publish(nc, 2)
        await agent.until_states()
