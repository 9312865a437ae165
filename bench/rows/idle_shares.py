"""An agent that keeps 20 shares while nothing happens: what it weighs, and what watching over them costs."""

from __future__ import annotations

import asyncio
import time

from agent.mounts.table import MountTableWatcher
from bench.bare import wait_mounted
from bench.children import fuse_client
from bench.engine import bench_share
from bench.fleet import running_plane
from bench.frame import Effort, Figure, Row, below
from bench.processes import PROC, find_children, read_cpu_s, read_memory
from bench.rows.idle import SETTLE_S, VM, running_agent
from weft.wire.codec import encode_message
from weft.wire.mountset import MountSet
from weft.wire.subjects import subject


async def measure(effort: Effort) -> list[Figure]:
    """Let an agent mount shares of a small FUSE client, and leave it alone; the clients themselves do not count."""
    count = effort.pick(full=20, quick=3)
    watch_s = effort.pick(full=60, quick=2)
    async with running_plane() as (broker, plane), running_agent(broker.url, plane.link) as agent:
        paths = [agent.root / f"s{number}" for number in range(count)]
        shares = tuple(bench_share(path.name, path, "fuse") for path in paths)
        with MountTableWatcher() as table:
            revision = time.time_ns() // 1_000_000
            await plane.link.publish(subject(VM), encode_message(MountSet(vm=VM, revision=revision, shares=shares)))
            await wait_mounted(table, paths)
        await asyncio.sleep(min(SETTLE_S, watch_s))
        helpers = [pid for pid in find_children(agent.pid) if not _is_client(pid)]
        before_s = sum(read_cpu_s(pid) for pid in (agent.pid, *helpers))
        await asyncio.sleep(watch_s)
        used_s = sum(read_cpu_s(pid) for pid in (agent.pid, *helpers)) - before_s
        own, others = read_memory(agent.pid), [read_memory(pid) for pid in helpers]
    return [
        Figure(f"memory of the agent with {count} shares", "MB RSS", (own.rss,), below(40)),
        Figure(
            "memory of its helpers", "MB RSS", (sum(memory.rss for memory in others),), note=f"{len(others)} of them"
        ),
        Figure("memory of both, shared pages counted once", "MB PSS", (own.pss + sum(each.pss for each in others),)),
        Figure(f"CPU of both, over {watch_s} s", "% of a core", (used_s / watch_s * 100,), below(0.5)),
    ]


def _is_client(pid: int) -> bool:
    return fuse_client.__file__.encode() in (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")


ROW = Row("idle-shares", "One agent with 20 shares, idle", measure)
