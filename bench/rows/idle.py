"""An agent with nothing to do: how soon it listens, what it weighs, and what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.msg import Msg

from agent.mounts.table import read_mount_table
from bench.child import ROOT
from bench.fleet import running_plane
from bench.frame import Effort, Figure, Row, below
from bench.processes import find_children, read_cpu_s, read_memory
from weft.link import Link
from weft.wire.ids import VmId
from weft.wire.subjects import status_subject

VM = VmId("vm-7")
DEADLINE_S = 20.0
LIBRARIES = "sys; sys.modules['rich'] = None; import asyncio, nats, msgspec, structlog"
SETTLE_S = 3
"""Versions of helpers are asked for and the first reports written; then nothing happens."""


async def measure(effort: Effort) -> list[Figure]:
    """Start the agent a few times, then leave one alone."""
    watch_s = effort.pick(full=24, quick=2)
    ready: list[float] = []
    heard: list[float] = []
    bare: list[float] = []
    async with running_plane() as (broker, plane):
        for _ in range(effort.pick(full=7, quick=2)):
            async with running_agent(broker.url, plane.link) as agent:
                ready.append(agent.ready_ms)
                heard.append(agent.heard_ms)
            bare.append(await _start_bare())
        async with running_agent(broker.url, plane.link) as agent:
            await asyncio.sleep(min(SETTLE_S, watch_s))
            helpers = find_children(agent.pid)
            before_s = sum(read_cpu_s(pid) for pid in (agent.pid, *helpers))
            await asyncio.sleep(watch_s)
            used_s = sum(read_cpu_s(pid) for pid in (agent.pid, *helpers)) - before_s
            own, others = read_memory(agent.pid), [read_memory(pid) for pid in helpers]
    together = own.pss + sum(memory.pss for memory in others)
    return [
        Figure(
            "process start → subscribed, and first report at the broker",
            "ms",
            tuple(heard),
            below(300),
            "the Go agent: 5-11 ms",
        ),
        Figure("process start → READY=1", "ms", tuple(ready)),
        Figure("an interpreter that imports the agent's libraries and ends", "ms", tuple(bare)),
        Figure("memory of the agent", "MB RSS", (own.rss,), below(40), "the Go agent: 9-15 MB"),
        Figure(
            "memory of its helpers", "MB RSS", (sum(memory.rss for memory in others),), note=f"{len(others)} of them"
        ),
        Figure("memory of both, shared pages counted once", "MB PSS", (together,)),
        Figure(f"CPU of both, over {watch_s} s", "% of a core", (used_s / watch_s * 100,), below(0.5)),
    ]


async def _start_bare() -> float:
    """Return the milliseconds that Python and the libraries take by themselves."""
    started_s = time.monotonic()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"import {LIBRARIES}")
    await process.wait()
    return (time.monotonic() - started_s) * 1000


class Agent:
    """A running agent, where it may mount, and how long it took to say that it runs."""

    def __init__(self, pid: int, root: Path, ready_ms: float, heard_ms: float) -> None:
        self.pid, self.root, self.ready_ms, self.heard_ms = pid, root, ready_ms, heard_ms


@asynccontextmanager
async def running_agent(url: str, link: Link) -> AsyncIterator[Agent]:
    """Run a real agent process; the clock starts just before it does."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as name, _notify_socket(Path(name)) as notify:
        directory = Path(name)
        (directory / "shares").mkdir()
        reported: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def note(msg: Msg) -> None:
            if not reported.done():
                reported.set_result(time.monotonic())

        subscription = await link.subscribe(status_subject(VM), note)
        await link.flush()
        arguments = ("run", "--vm", VM, "--nats", url, "--allow", str(directory / "shares"), "--allow-source", name)
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.children.guest_agent", *arguments),
            *("--state-dir", str(directory / "state"), "--run-dir", str(directory / "run")),
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": str(directory / "notify")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                ready_s = await _wait_ready(notify)
                heard_s = await reported
            yield Agent(process.pid, directory / "shares", (ready_s - started_s) * 1000, (heard_s - started_s) * 1000)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            await subscription.unsubscribe()
            _unmount_below(directory / "shares")


def _unmount_below(root: Path) -> None:
    """Take away what the agent left, as it does when it ends; its clients end with their mounts."""
    table = read_mount_table()
    for path in root.iterdir():
        if table.top_at(str(path)) is not None:
            subprocess.run(["umount", str(path)], check=True)


def _notify_socket(directory: Path) -> socket.socket:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    notify.bind(str(directory / "notify"))
    return notify


async def _wait_ready(notify: socket.socket) -> float:
    loop = asyncio.get_running_loop()
    while b"READY=1" not in await loop.sock_recv(notify, 4096):
        continue
    return time.monotonic()


ROW = Row("idle", "One agent: start and idle", measure)
