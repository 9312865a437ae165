"""``weft up``: a broker and a guest for one machine, ended in order."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.parts.processes import wait_until_ended

pytestmark = pytest.mark.integration
DEADLINE_S = 60.0
OWN_NAMESPACE = ("unshare", "--mount", "--propagation", "private")
"""What this guest mounts, and what it finds mounted by others, stays between it and this test."""


@dataclass
class Running:
    """A ``weft up`` that is ready."""

    process: asyncio.subprocess.Process
    url: str
    said: list[str]

    async def interrupted(self) -> int:
        """Press Ctrl-C and return the exit code; what it said last is in *said*."""
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE_S):
            self.said += (await self.process.stderr.read()).decode().splitlines()
            return await self.process.wait()


@asynccontextmanager
async def up(*argv: str) -> AsyncIterator[Running]:
    """Run ``weft up`` on a free port until it is ready; end it, however the test goes."""
    process = await asyncio.create_subprocess_exec(
        *OWN_NAMESPACE, sys.executable, "-m", "controlplane.cli", "up", "--listen", "127.0.0.1:0", *argv,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (said and said[-1].startswith("ready")):
                line = (await process.stderr.readline()).decode().rstrip()
                assert line, "\n".join(said)
                said.append(line)
        url = next(found[0] for line in said if (found := re.search(r"nats://\S+", line)))
        yield Running(process, url, said)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait_for(process.wait(), DEADLINE_S)


async def weft(*argv: str, url: str) -> tuple[int, str]:
    """Run one command; returns its exit code and everything it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli", "-s", url, *argv),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    return process.returncode or 0, out.decode()


def children_of(pid: int) -> list[int]:
    """Name the processes that *pid* started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seen_by(pid: int, path: Path) -> str:
    """Read *path* as the process *pid* sees it."""
    return Path(f"/proc/{pid}/root{path}").read_text()


async def test_a_share_reaches_the_local_guest_and_goes_with_it(tmp_path: Path) -> None:
    """The broker is initialised, the guest mounts, and Ctrl-C unmounts and ends both."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "hello").write_text("from the share")
    (tmp_path / "roots").mkdir()
    at = tmp_path / "roots" / "docs"
    async with up("--allow", str(tmp_path / "roots"), "--allow-source", str(tmp_path)) as running:
        children = children_of(running.process.pid)
        source = ("--from", f"bind:{tmp_path / 'source'}")
        code, said = await weft("publish", "docs", *source, "--at", str(at), "--vm", "local", "--wait", url=running.url)
        assert code == 0, said
        assert seen_by(running.process.pid, at / "hello") == "from the share"

        assert await running.interrupted() == 0

    assert "stopping" in running.said
    assert len(children) == 2
    for pid in children:
        await wait_until_ended(pid)
    assert not (at / "hello").exists()


async def test_a_kept_store_survives(tmp_path: Path) -> None:
    """With --store the catalog is there the next time; without a guest there is only the broker."""
    store = ("--no-guest", "--store", str(tmp_path / "kept"))
    async with up(*store) as running:
        assert (await weft("class", "create", "algebra", "vm-1", url=running.url))[0] == 0
        assert len(children_of(running.process.pid)) == 1
        assert await running.interrupted() == 0

    async with up(*store) as running:
        assert await weft("class", "list", "-o", "name", url=running.url) == (0, "algebra\n")


async def test_a_broker_that_dies_is_reported(tmp_path: Path) -> None:
    """It does not go on without its broker: one sentence, exit 1."""
    async with up("--no-guest") as running:
        (broker,) = children_of(running.process.pid)
        os.kill(broker, signal.SIGKILL)
        assert running.process.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            said = (await running.process.stderr.read()).decode()
            code = await running.process.wait()

    assert code == 1
    assert "the broker ended by itself" in said
    assert "Traceback" not in said
