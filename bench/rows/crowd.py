"""10,000 guests: all starting at once, and all getting a new list."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from bench.child import Child, running_child
from bench.fleet import running_fleet
from bench.frame import Effort, Figure, Loop, Row, below
from bench.processes import read_memory
from controlplane.batch import is_stored
from controlplane.broker import EmbeddedBroker
from controlplane.ingest import Outgoing, store
from controlplane.jetstream import ask
from controlplane.reader import read_complete
from weft.link import Link
from weft.wire.subjects import MOUNTS_ALL, MOUNTS_STREAM

RECONNECT_S = 30.0
PROCESSES = 2
CONNECTIONS = 4
"""For each process; real guests have one each, on a machine of their own."""


async def measure(effort: Effort) -> list[Figure]:
    """Start all guests, then replace every list, a few times."""
    vms = effort.pick(full=10_000, quick=200)
    starts: list[float] = []
    weights: list[float] = []
    busy: list[float] = []
    consumers: list[float] = []
    applied: list[float] = []
    costs: list[float] = []
    start_costs: list[float] = []
    async with running_fleet(vms) as (broker, plane):
        for _ in range(effort.pick(full=3, quick=1)):
            await _restart(broker, plane.link)  # its memory is then that of the state, not of how it came about
            async with AsyncExitStack() as stack:
                share = vms // PROCESSES
                crowd = [
                    await stack.enter_async_context(
                        running_child("guests", broker.url, str(number * share), str(share), str(CONNECTIONS))
                    )
                    for number in range(PROCESSES)
                ]
                for child in crowd:
                    assert await child.hear() == "connected"
                started_ns = time.monotonic_ns()
                starts.append((await _tell_all(crowd, "start") - started_ns) / 1e9)
                start_costs.append(await _tell_all(crowd, "cost") / 1e9)
                weights.append(read_memory(broker.pid).rss)
                info = await ask(plane.link, f"STREAM.INFO.{MOUNTS_STREAM}", stream=MOUNTS_STREAM)
                consumers.append(info["state"]["consumer_count"])
                applied.append(await _replace_all(plane.link, crowd))
                busy.append(read_memory(broker.pid).rss)
                costs.append(await _tell_all(crowd, "cost") / 1e9)
    note = f"{PROCESSES} processes with {CONNECTIONS} connections each play them, on the broker's own cores"
    alone = "the same messages decided upon by the same processes, no broker"
    beyond = tuple(took - cost for took, cost in zip(applied, costs, strict=True))
    return [
        Figure(f"{vms:,} guests starting at once: all have their list", "s", tuple(starts), below(2), note),
        Figure("of which the simulating processes' own", "s", tuple(start_costs), note=alone),
        Figure("consumers on the stream with all of them there", "", tuple(consumers), below(0)),
        Figure("memory of the broker with all of them there", "MB RSS", tuple(weights), below(50), "Go: 518 MB"),
        Figure("memory of the broker right after a fan-out to all of them", "MB RSS", tuple(busy), below(50)),
        Figure(f"publish → accepted in all of {vms:,} guests", "s", tuple(applied), note="the Go agent: 2.6-9.6 s"),
        Figure("of which the simulating processes' own", "s", tuple(costs), note=alone),
        Figure("publish → accepted in all, beyond that", "s", beyond, below(1)),
    ]


async def _restart(broker: EmbeddedBroker, link: Link) -> None:
    await broker.stop()
    await broker.start()
    await link.wait_connected(RECONNECT_S)


async def _tell_all(crowd: list[Child], line: str) -> int:
    """Tell all processes at once and return the largest answer."""
    for child in crowd:
        child.tell(line)
    return max(int(answer) for answer in await asyncio.gather(*(child.hear() for child in crowd)))


async def _replace_all(link: Link, crowd: list[Child]) -> float:
    """Store a newer list for everybody; return the seconds until the last guest had accepted it."""
    last = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    messages = [Outgoing(message.subject, _newer(message.data), message.seq) for message in last.values()]
    for child in crowd:
        child.tell("expect")
        assert await child.hear() == "expecting"
    waiting = asyncio.gather(*(_wait(child) for child in crowd))
    await asyncio.sleep(0)
    started_ns = time.monotonic_ns()
    verdicts = await store(link, messages)
    assert all(is_stored(verdict) for verdict in verdicts), "not every list was stored"
    return (max(await waiting) - started_ns) / 1e9


async def _wait(child: Child) -> int:
    child.tell("wait")
    return int(await child.hear())


def _newer(data: bytes) -> bytes:
    """Raise the revision of a list; nothing else of it changes."""
    head, _, rest = data.partition(b'"revision":')
    revision, comma, tail = rest.partition(b",")
    return head + b'"revision":' + str(int(revision) + 1).encode() + comma + tail


ROW = Row("crowd", "10,000 guests", measure, Loop.UVLOOP)
