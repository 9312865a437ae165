"""A guest's surroundings: a publisher's connection, a short directory, and an agent that is not yet started."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from weft.wire.subjects import LIVE_TEMPLATE, MOUNTS_ALL, MOUNTS_STREAM

STREAM = {
    "name": MOUNTS_STREAM,
    "subjects": [MOUNTS_ALL],
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wa-", ignore_cleanup_errors=True) as short:
        try:
            yield Path(short)
        finally:
            for entry in reversed(read_mount_table().below(short)):
                subprocess.run(["umount", "-l", entry.mount_point], check=False)


@pytest.fixture
async def nc(broker: Broker) -> AsyncIterator[Client]:
    """A publisher's connection, with the stream made."""
    client = await nats.connect(broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    await client.request(f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}", json.dumps(STREAM).encode(), timeout=5)
    yield client
    await client.close()


@pytest.fixture
def agent(directory: Path, broker: Broker) -> AgentProcess:
    """An agent, not yet started."""
    return AgentProcess(directory, broker.url)
