"""A share that ends by itself in a real guest, whether anybody reaches that guest or not."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from controlplane import ControlPlane
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.shares import bind
from weft.wire.share import ShareMount

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]

LASTING_S = 4


@pytest.fixture
def agent(broker: Broker) -> Iterator[AgentProcess]:
    """A guest with a short directory, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wx-", ignore_cleanup_errors=True) as short:
        try:
            yield AgentProcess(Path(short), broker.url)
        finally:
            for entry in reversed(read_mount_table().below(short)):
                subprocess.run(["umount", "-l", entry.mount_point], check=False)


def ending(agent: AgentProcess, at: datetime | None) -> ShareMount:
    return bind("exam", str(agent.mounts / "exam"), source=str(agent.source("exam")), expires_at=at)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=LASTING_S)


async def test_a_guest_without_a_broker_lets_go_in_time(
    broker: Broker, plane: ControlPlane, agent: AgentProcess
) -> None:
    """By its own clock; the broker finds that out when it is back, and the catalog lets go at last."""
    async with agent:
        at = soon()
        await plane.publish(ending(agent, at), vms=["vm-7"])
        await agent.until_states(exam="mounted")
        await broker.kill()
        await agent.until_states(exam="expired")
        assert datetime.now(UTC) >= at
        assert not read_mount_table().below(str(agent.mounts))
        await broker.start()
        await plane.link.wait_connected(20)
        assert (await plane.wait("exam", timeout_s=20)).is_converged
        assert [record.share.id for record in await plane.shares()] == ["exam"]
        dropped = await plane.drop_expired(kept_s=0)
        assert dropped is not None
        assert (await plane.wait(dropped, timeout_s=20)).is_converged
        await agent.until_states()
    assert await plane.shares() == []


async def test_an_agent_started_again_without_a_broker_keeps_to_the_end(
    broker: Broker, plane: ControlPlane, agent: AgentProcess
) -> None:
    """Its ledger says what it should have had, and until when."""
    async with agent:
        await plane.publish(ending(agent, soon()), vms=["vm-7"])
        await agent.until_states(exam="mounted")
        await agent.stop(signal.SIGKILL)
        await broker.kill()
        await agent.start()
        await agent.until_states(exam="expired")
        assert not read_mount_table().below(str(agent.mounts))
        await broker.start()


async def test_more_time_brings_it_back_without_a_remount(plane: ControlPlane, agent: AgentProcess) -> None:
    """Extended before its end it stays as it is; after its end it is mounted again."""
    async with agent:
        await plane.publish(ending(agent, soon()), vms=["vm-7"])
        await agent.until_states(exam="mounted")
        (before,) = read_mount_table().below(str(agent.mounts))
        longer = await plane.publish(ending(agent, datetime.now(UTC) + timedelta(hours=1)))
        assert (await plane.wait(longer, timeout_s=20)).is_converged
        (after,) = read_mount_table().below(str(agent.mounts))
        assert after.mount_id == before.mount_id
        await plane.publish(ending(agent, datetime.now(UTC) + timedelta(seconds=1)))
        await agent.until_states(exam="expired")
        await plane.publish(ending(agent, None))
        await agent.until_states(exam="mounted")
        await plane.unpublish("exam")
        await agent.until_states()
