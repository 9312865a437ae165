"""Claims about mounts, with a real agent: what is repaired, rotated or left alone is not remounted."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from controlplane import ControlPlane
from tests.integration.agent.conftest import directory  # noqa: F401
from tests.integration.plane.test_absence import delete_stream
from tests.integration.plane.test_refresh import clients_of, rclone_on_path  # noqa: F401
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.rclone_servers import RcloneServer
from tests.parts.shares import bind
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration


def mount_ids(agent: AgentProcess) -> dict[str, int]:
    """Return the kernel's id of each mount below the agent's root: a remount gives another one."""
    return {entry.mount_point: entry.mount_id for entry in read_mount_table().below(str(agent.mounts))}


def share(agent: AgentProcess, name: str) -> ShareMount:
    return bind(name, str(agent.mounts / name), source=str(agent.source(name)))


async def test_a_deleted_stream_is_restored_without_a_remount(
    broker: Broker,
    plane: ControlPlane,
    directory: Path,  # noqa: F811
) -> None:
    """Neither the loss nor the sync touches a mount, and the guest obeys the new list."""
    async with AgentProcess(directory, broker.url) as agent:
        first = await plane.publish([share(agent, "a"), share(agent, "b")], vms=[agent.vm])
        assert (await plane.wait(first, timeout_s=20)).is_converged
        before = mount_ids(agent)
        await delete_stream(broker, "weft-mounts")
        await plane.init()
        again = await plane.sync()
        assert (await plane.wait(again, timeout_s=20)).is_converged
        assert mount_ids(agent) == before
        assert (await plane.diff()).differences == ()
        assert (await plane.wait(await plane.unpublish("a"), timeout_s=20)).is_converged
        assert list(mount_ids(agent)) == [str(agent.mounts / "b")]
        await plane.wait(await plane.unpublish("b"), timeout_s=20)
    assert len(before) == 2
    assert again.stored[agent.vm] > first.stored[agent.vm]  # type: ignore[index]


async def test_a_lost_and_recovered_catalog_touches_no_mount(
    broker: Broker,
    plane: ControlPlane,
    directory: Path,  # noqa: F811
) -> None:
    """From the stream alone; disabling afterwards takes it away, enabling brings it back."""
    async with AgentProcess(directory, broker.url) as agent:
        assert (await plane.wait(await plane.publish(share(agent, "a"), vms=[agent.vm]), timeout_s=20)).is_converged
        before = mount_ids(agent)
        await delete_stream(broker, "KV_weft-catalog")
        await plane.init()
        await plane.recover()
        assert (await plane.wait(await plane.sync(), timeout_s=20)).is_converged
        assert mount_ids(agent) == before
        assert (await plane.wait(await plane.disable("a"), timeout_s=20)).is_converged
        assert mount_ids(agent) == {}
        assert (await plane.wait(await plane.enable("a"), timeout_s=20)).is_converged
        assert mount_ids(agent).keys() == before.keys()
        await plane.wait(await plane.unpublish("a"), timeout_s=20)


@pytest.mark.usefixtures("rclone_on_path")
async def test_a_rotated_remote_is_applied_without_a_remount(
    broker: Broker,
    plane: ControlPlane,
    tmp_path: Path,
    directory: Path,  # noqa: F811
) -> None:
    """Two shares, one command: the server takes only the new keys, and both clients are the processes they were."""
    agent = AgentProcess(directory, broker.url)
    async with RcloneServer.s3(tmp_path) as s3, agent:
        for name in ("docs", "home"):
            (s3.root / name).mkdir()
        await plane.set_remote("store", "rclone", {"type": "s3", "config": s3.config})
        shares = [
            parse_share(
                {
                    "id": name,
                    "backend": "rclone",
                    "mount_point": str(agent.mounts / name),
                    "rclone": {"type": "s3", "path": name, "options": {"dir-cache-time": "0s"}},
                }
            )
            for name in ("docs", "home")
        ]
        outcome = await plane.wait(await plane.publish(shares, vms=[agent.vm], remote="store"), timeout_s=30)
        assert outcome.is_converged, (outcome, agent.log_path.read_text())
        before, clients = mount_ids(agent), clients_of(agent)
        await s3.rotate_keys()
        keys = {f"config.{name}": s3.config[name] for name in ("access_key_id", "secret_access_key")}
        fan_out = await plane.update_remote("store", keys)
        outcome = await plane.wait(fan_out, timeout_s=30)
        assert outcome.is_converged, (outcome, agent.log_path.read_text())
        (s3.root / "docs" / "new.txt").write_text("ebb")
        assert await asyncio.to_thread(os.listdir, agent.mounts / "docs") == ["new.txt"]
        assert (mount_ids(agent), clients_of(agent)) == (before, clients)
        await plane.wait(await plane.unpublish("docs"), timeout_s=30)
        await plane.wait(await plane.unpublish("home"), timeout_s=30)
    assert (len(before), len(fan_out.stored), fan_out.share_ids) == (2, 1, ("docs", "home"))
