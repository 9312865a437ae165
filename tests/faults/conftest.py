"""A guest, its broker, servers that can be unplugged, and a stop watch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from tests.faults.guest import FaultyGuest
from tests.faults.timings import Timings
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig, engine_rig
from tests.parts.leftovers import remove_leftovers
from tests.parts.rclone_servers import RcloneServer
from weft.wire.subjects import LIVE_TEMPLATE, MOUNTS_ALL, MOUNTS_STREAM

STREAM = {
    "name": MOUNTS_STREAM,
    "subjects": [MOUNTS_ALL],
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
}
OFTEN = {"WEFT_PROBE_INTERVAL_S": "1", "WEFT_PROBE_DEADLINE_S": "1"}


@pytest.fixture
def timings(request: pytest.FixtureRequest) -> Iterator[Timings]:
    """The stop watch of a test; its times are kept where ``WEFT_FAULT_TIMES`` names a file."""
    watch = Timings()
    failures = request.session.testsfailed
    yield watch
    path = os.environ.get("WEFT_FAULT_TIMES")
    if path and request.session.testsfailed == failures:
        watch.write(request.node.originalname, Path(path))


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path for the guest, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wf-", ignore_cleanup_errors=True) as short:
        try:
            yield Path(short)
        finally:
            remove_leftovers(Path(short))


async def make_stream(nc: Client) -> None:
    """Make the stream of desired states."""
    answer = await nc.request(f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}", json.dumps(STREAM).encode(), timeout=5)
    assert b'"error"' not in answer.data, answer.data


@pytest.fixture
async def nc(broker: Broker) -> AsyncIterator[Client]:
    """A publisher's connection, with the stream made."""
    client = await nats.connect(broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    await make_stream(client)
    yield client
    await client.close()


@pytest.fixture
def guest(directory: Path, broker: Broker, nc: Client) -> FaultyGuest:
    """A guest whose agent asks its mounts every second, and is not started yet."""
    return FaultyGuest(AgentProcess(directory, broker.url, environ=OFTEN), nc)


@pytest.fixture
async def cluster(guest: FaultyGuest, tmp_path: Path) -> AsyncIterator[CubefsCluster]:
    """A CubeFS cluster with one volume that holds one file, and its client on the guest's path."""
    async with CubefsCluster(tmp_path) as running:
        (running.add_volume("team", owner="alpha") / "hello.txt").write_text("team")
        guest.agent.environ["PATH"] = f"{running.bin_dir}:{os.environ['PATH']}"
        guest.agent.environ["WEFT_CLIENT_WRITABLE_PATHS"] = str(running.directory)
        yield running


@pytest.fixture
async def sftp(tmp_path: Path) -> AsyncIterator[RcloneServer]:
    """A real SFTP server with one file."""
    async with RcloneServer.sftp(tmp_path) as server:
        (server.root / "hello.txt").write_text("sftp")
        yield server


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[RcloneServer]:
    """A real S3 server with one bucket that holds one file."""
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "bucket").mkdir()
        (server.root / "bucket" / "hello.txt").write_text("s3")
        yield server


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """A guest without an agent process: an engine on real mounts, whose parts can be swapped."""
    async with engine_rig(tmp_path) as made:
        yield made
