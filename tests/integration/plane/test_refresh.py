"""Refresh and retry: who is told, who is left alone, and what comes of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from controlplane import ControlPlane
from tests.integration.agent.conftest import directory  # noqa: F401
from tests.integration.plane.guests import Guests, mounted
from tests.integration.plane.test_publish import names
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from tests.unit.controlplane.makers import share
from weft.errors import ErrorCode
from weft.wire.ids import VmId
from weft.wire.share import ShareMount, parse_share
from weft.wire.status import ShareError, ShareState, ShareStatus

pytestmark = pytest.mark.integration


def fails_until_told_again(vm: str, item: ShareMount) -> ShareStatus:
    if vm != "vm-1" or item.refresh:
        return mounted(vm, item)
    error = ShareError(code=ErrorCode.AUTH, message="cannot mount share 'a': the key is refused")
    return ShareStatus(id=item.id, state=ShareState.FAILED, error=error)


async def test_retry_tells_only_who_lacks_the_share(broker: Broker, plane: ControlPlane) -> None:
    """A permanent failure is tried again; nobody else's message changes; afterwards there is nothing to retry."""
    async with Guests(broker.url, judge=fails_until_told_again):
        assert not (await plane.wait(await plane.publish(share("a"), vms=names(3)), timeout_s=20)).is_converged
        fan_out = await plane.retry("a")
        assert list(fan_out.stored) == ["vm-1"]
        assert (await plane.wait(fan_out, timeout_s=20)).is_converged
        assert (await plane.wait("a", timeout_s=20)).converged == ("vm-0", "vm-1", "vm-2")
        again = await plane.retry("a")
    assert (again.stored, list(again.unchanged)) == ({}, ["vm-0", "vm-1", "vm-2"])
    assert again.warnings == ("nothing to try again: every VM has it",)


async def test_refresh_reaches_one_vm_of_a_class_and_outlives_a_sync(broker: Broker, plane: ControlPlane) -> None:
    """The number of one VM is part of the catalog, so that recomputing every list changes none."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), classes=["algebra"]), timeout_s=20)
        one = await plane.refresh("a", vms=["vm-1"])
        assert (await plane.wait(one, timeout_s=20)).converged == ("vm-1",)
        synced = await plane.sync()
        everybody = await plane.refresh("a", classes=["algebra"])
        assert (await plane.wait(everybody, timeout_s=20)).is_converged
    assert list(one.stored) == ["vm-1"]
    assert (dict(synced.stored), len(synced.unchanged)) == ({}, 3)
    assert sorted(everybody.stored) == ["vm-0", "vm-1", "vm-2"]


async def test_two_operators_refresh_at_once_and_both_are_heard(broker: Broker, plane: ControlPlane) -> None:
    """Refreshing means the same whoever else does it, so nobody is told to try again."""
    async with ControlPlane.connect(broker.url, operator="assistant") as other, Guests(broker.url):
        await plane.publish(share("a"), vms=names(4))
        await asyncio.gather(plane.refresh("a", vms=["vm-0"]), other.refresh("a", vms=["vm-1"]))
        record = await plane.share("a")
    assert sorted(record.refreshes) == ["vm-0", "vm-1"]


@pytest.fixture
def rclone_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(rclone_binary()).parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("rclone_on_path")
async def test_new_content_of_a_real_share_shows_after_a_refresh(
    broker: Broker,
    plane: ControlPlane,
    tmp_path: Path,
    directory: Path,  # noqa: F811
) -> None:
    """A guest with a cached listing shows the new file, and its client is the same process as before."""
    agent = AgentProcess(directory, broker.url)
    async with RcloneServer.s3(tmp_path) as s3, agent:
        (s3.root / "bucket").mkdir()
        place = agent.mounts / "docs"
        block = {"type": "s3", "path": "bucket", "config": s3.config, "options": {"dir-cache-time": "1h"}}
        docs = parse_share({"id": "docs", "backend": "rclone", "mount_point": str(place), "rclone": block})
        outcome = await plane.wait(await plane.publish(docs, vms=[agent.vm]), timeout_s=30)
        assert outcome.is_converged, (outcome, agent.log_path.read_text())
        assert await asyncio.to_thread(os.listdir, place) == []
        before = clients_of(agent)
        (s3.root / "bucket" / "new.txt").write_text("ebb")
        assert await asyncio.to_thread(os.listdir, place) == []
        outcome = await plane.wait(await plane.refresh("docs", vms=[agent.vm]), timeout_s=30)
        assert outcome.converged == (VmId(agent.vm),), outcome
        assert await asyncio.to_thread(os.listdir, place) == ["new.txt"]
        assert clients_of(agent) == before
        gone = await plane.wait(await plane.unpublish("docs"), timeout_s=30)
    assert len(before) == 1
    assert gone.is_converged


def clients_of(agent: AgentProcess) -> list[int]:
    """Find the rclone processes that serve a mount of this agent."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(bytes(agent.run_dir) in part for part in arguments) and arguments[0].endswith(b"rclone"):
            found.append(int(process.name))
    return found
