"""Mistakes that other agents for the same wire make, and that no other file shows this one does not make."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from agent import Subscriber
from agent.mounts.table import read_mount_table
from controlplane import ControlPlane
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.shares import bind, encoded_set
from weft.wire.blocks import RcloneBlock
from weft.wire.share import ShareMount, share_to_builtins
from weft.wire.subjects import MOUNTS_STREAM, subject

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]


def share(agent: AgentProcess, name: str, mount_point: str = "", **fields: Any) -> ShareMount:
    return bind(name, str(agent.mounts / (mount_point or name)), source=str(agent.source(name)), **fields)


def files(agent: AgentProcess, name: str, **config: str) -> ShareMount:
    """Build a share with a client, whose configuration is a private file."""
    path = str(agent.source(name))
    block = RcloneBlock(type="local", path=path, config=config)
    return ShareMount(id=name, backend="rclone", mount_point=str(agent.mounts / name), rclone=block)


def mount_ids(agent: AgentProcess) -> list[int]:
    return sorted(entry.mount_id for entry in read_mount_table().below(str(agent.mounts)))


async def publish(nc: Client, revision: int, *shares: ShareMount) -> None:
    await nc.jetstream().publish(subject("vm-7"), encoded_set(revision, *shares))


async def test_what_is_detached_before_the_boot_leaves_the_rest(agent: AgentProcess, broker: Broker) -> None:
    """Attach A, attach B, detach B: the stream keeps one message for each VM, and that one has A in it."""
    a, b = share(agent, "a"), share(agent, "b")
    async with ControlPlane.connect(broker.url, operator="teacher") as plane:
        await plane.init()
        await plane.publish(a, vms=["vm-7"])
        await plane.publish(b, vms=["vm-7"])
        await plane.unpublish("b")
        async with agent:
            await agent.until_states(a="mounted")
            await plane.unpublish("a")
            await agent.until_states()


async def test_a_republish_under_an_open_file_harms_neither_it_nor_what_follows(
    agent: AgentProcess, nc: Client
) -> None:
    """The client lives, the file can still be written, and the next share comes and goes as ever."""
    a, b = files(agent, "a"), files(agent, "b")
    await publish(nc, 1, a)
    async with agent:
        await agent.until_states(a="mounted")
        before = mount_ids(agent)
        fd = await asyncio.to_thread(os.open, agent.mounts / "a/notes.txt", os.O_RDWR | os.O_CREAT)
        try:
            await publish(nc, 2, a)
            await agent.until(lambda status: bool(status["held_revision"] == 2))
            await agent.until_states(a="mounted")
            assert mount_ids(agent) == before
            assert await asyncio.to_thread(os.write, fd, b"still here") == 10
            await publish(nc, 3, a, b)
            await agent.until_states(a="mounted", b="mounted")
        finally:
            await asyncio.to_thread(os.close, fd)
        await publish(nc, 4)
        await agent.until_states()
    assert (agent.sources / "a/notes.txt").read_text() == "still here"


async def test_guests_need_no_consumer(nc: Client, broker: Broker) -> None:
    """So a limit of consumers is no limit of guests: all get what was published before they came, and after."""
    update = {"name": MOUNTS_STREAM, "max_consumers": 1, "subjects": ["weft.mounts.*"], "allow_direct": True}
    update |= {"max_msgs_per_subject": 1, "republish": {"src": "weft.mounts.*", "dest": "weft.live.{{wildcard(1)}}"}}
    await nc.request(f"$JS.API.STREAM.DELETE.{MOUNTS_STREAM}", timeout=5)
    await nc.request(f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}", json.dumps(update).encode(), timeout=5)
    vms = [f"vm-{number}" for number in range(20)]
    applied: set[str] = set()

    def remember(vm: str) -> Any:
        async def apply(share: ShareMount) -> None:
            applied.add(f"{vm} {share.id}")

        return apply

    for vm in vms:
        await nc.jetstream().publish(subject(vm), encoded_set(1, bind("a"), vm=vm))
    guests = [Subscriber(nc, vm, remember(vm)) for vm in vms]
    try:
        for guest in guests:
            await guest.__aenter__()
        for vm in vms:
            await nc.jetstream().publish(subject(vm), encoded_set(2, bind("a"), bind("b"), vm=vm))
        async with asyncio.timeout(10):
            for guest in guests:
                while guest.desired.revision < 2:
                    await guest.read_now()
                await guest.wait_settled()
        assert applied == {f"{vm} {name}" for vm in vms for name in "ab"}
        assert (await nc.jetstream().stream_info(MOUNTS_STREAM)).state.consumer_count == 0
    finally:
        for guest in guests:
            await guest.__aexit__(None, None, None)


async def test_a_boot_mount_that_fails_stops_neither_the_agent_nor_the_others(agent: AgentProcess, nc: Client) -> None:
    """It is tried again like any other share, and the stream is heard."""
    bad = bind("bad", str(agent.mounts / "bad"), source=str(agent.sources / "missing"))
    boot = agent.directory / "boot.json"
    boot.write_text(json.dumps([share_to_builtins(each) for each in (bad, share(agent, "good"))]))
    agent.arguments = ("--share-mounts", str(boot))
    await publish(nc, 1, share(agent, "streamed"))
    async with agent:
        await agent.until_states(bad="backoff", good="mounted", streamed="mounted")
        agent.source("missing")
        await agent.until_states(bad="mounted", good="mounted", streamed="mounted")
        boot.write_text("[]")
        await agent.stop()
        await agent.start()
        await publish(nc, 2)
        await agent.until_states()


async def test_an_id_decides_no_path_and_a_secret_goes_with_its_share(agent: AgentProcess, nc: Client) -> None:
    """An id with ``../`` never reaches the disk; what a good one is started with is private, and does not stay."""
    forged = share_to_builtins(files(agent, "a", description="hunter2")) | {"id": "../../tmp/a"}
    document = {"vm": "vm-7", "revision": 1, "gone": [], "shares": [forged]}
    await nc.jetstream().publish(subject("vm-7"), json.dumps(document).encode())
    async with agent:
        status = await agent.until(lambda status: bool(status["shares"]))
        assert [entry["state"] for entry in status["shares"]] == ["rejected"]
        assert holding(agent.run_dir, b"hunter2") == []
        await publish(nc, 2, files(agent, "a", description="hunter2"))
        await agent.until_states(a="mounted")
        # A client that serves the guest's files keeps none beside them; this is the second record of what is mounted.
        (file_with_it,) = holding(agent.run_dir, b"hunter2")
        assert file_with_it.stat().st_mode & 0o777 == 0o600
        assert file_with_it.parent.stat().st_mode & 0o777 == 0o700
        await publish(nc, 3)
        await agent.until_states()
        await agent.until(lambda status: holding(agent.run_dir, b"hunter2") == [])


def holding(directory: Path, text: bytes) -> list[Path]:
    """List the files below *directory* that hold *text*."""
    return [path for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]
