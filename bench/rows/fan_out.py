"""Fan-out to a class, every message acknowledged: the command, its publish phase, and what else could be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from bench.fleet import CLASS, running_fleet, team_data
from bench.frame import Effort, Figure, Loop, Row, Target, above, ratio
from bench.raw import ReadyBatch, ReadyPipeline, connect
from controlplane.batch import is_stored
from controlplane.ingest import Outgoing, store
from controlplane.jetstream import stream_facts
from controlplane.plane import ControlPlane
from controlplane.reader import read_complete
from weft.link import Link
from weft.wire.subjects import MOUNTS_ALL, MOUNTS_STREAM

SETTLE_S = 30.0
ONE_BY_ONE = 300
"""A sample; the time for all is scaled up from it."""


async def measure(effort: Effort) -> list[Figure]:
    """Fan out to a small and a large class."""
    figures = await _measure_class(effort.pick(full=1_000, quick=50), effort.pick(full=7, quick=2), is_promised=False)
    figures += await _measure_class(effort.pick(full=10_000, quick=200), effort.pick(full=5, quick=2), is_promised=True)
    return figures


async def _measure_class(vms: int, rounds: int, *, is_promised: bool) -> list[Figure]:
    """Take every measurement once per round, in turn as the first, since each leaves the broker something to do."""
    command: list[float] = []
    phase: list[float] = []
    ceiling: list[float] = []
    pipeline: list[float] = []
    core: list[float] = []
    held: list[float] = []
    singly: list[float] = []
    async with running_fleet(vms) as (broker, plane):
        link = plane.link

        async def publish() -> None:
            command.append(await _publish(plane, vms, edition=len(command) + 1))

        async def publish_phase() -> None:
            phase.append(await _store(link))

        async def publish_ready_batch() -> None:
            ceiling.append(await _publish_ready(link, broker.url, ReadyBatch))

        async def publish_ready_pipeline() -> None:
            pipeline.append(await _publish_ready(link, broker.url, ReadyPipeline))

        async def publish_core() -> None:
            took_s, stored = await _publish_core(link)
            core.append(took_s)
            held.append(stored / vms * 100)

        async def publish_singly() -> None:
            singly.append(await _publish_singly(link))

        turns = [publish, publish_phase, publish_ready_pipeline, publish_ready_batch, publish_core, publish_singly]
        for first in range(rounds):
            for turn in range(len(turns)):
                await turns[(first + turn) % len(turns)]()
    of = f"to {vms:,} VMs"
    ours = _rate(
        f"publish phase {of}: acknowledged and conditional",
        *(vms, phase, above(118) if is_promised else None, "nats.go, pipelined, on two idle cores: 118-144 k/s"),
    )
    theirs = _rate(
        f"single publishes {of}, pipelined, ready-made bytes",
        *(vms, pipeline, None, "no client that publishes so can be faster, nats.go included"),
    )
    most = _rate(f"fast ingest {of}, ready-made bytes", vms, ceiling, None, "the broker's ceiling")
    scaled = f"js.publish one by one {of}"
    return [
        Figure(f"whole command {of}", "ms", _ms(command), note="catalog and messages read, decided, stored, audited"),
        Figure(f"publish phase {of}", "ms", _ms(phase)),
        ours,
        theirs,
        most,
        ratio("publish phase over pipelined ready-made bytes", ours, theirs, target=above(1) if is_promised else None),
        ratio("publish phase over the broker's ceiling", ours, most),
        Figure(f"plain publish and flush {of}", "ms", _ms(core), note="confirms nothing"),
        Figure("stored when plain publish and flush return", "%", tuple(held)),
        Figure(scaled, "ms", _ms(s * vms for s in singly), note=f"scaled up from {min(ONE_BY_ONE, vms)}"),
    ]


def _rate(name: str, vms: int, seconds: list[float], target: Target | None, note: str) -> Figure:
    return Figure(name, "k/s", tuple(vms / took_s / 1000 for took_s in seconds), target, note)


def _ms(seconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(took_s * 1000 for took_s in seconds)


async def _publish(plane: ControlPlane, vms: int, *, edition: int) -> float:
    started_s = time.perf_counter()
    fan_out = await plane.publish(team_data(edition), classes=[CLASS])
    took_s = time.perf_counter() - started_s
    assert len(fan_out.stored) == vms, f"only {len(fan_out.stored)} of {vms} were stored"
    return took_s


async def _outgoing(link: Link) -> list[Outgoing]:
    """Build the messages that would replace what is stored, by as much again."""
    last = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    return [Outgoing(message.subject, message.data, message.seq) for message in last.values()]


async def _store(link: Link) -> float:
    messages = await _outgoing(link)
    started_s = time.perf_counter()
    verdicts = await store(link, messages)
    took_s = time.perf_counter() - started_s
    assert all(is_stored(verdict) for verdict in verdicts), "not every message was stored"
    return took_s


async def _publish_ready(link: Link, url: str, encode: type[ReadyBatch] | type[ReadyPipeline]) -> float:
    ready = encode(await _outgoing(link))
    connection = await connect(url, ready.inbox)
    try:
        started_s = time.perf_counter()
        await ready.publish(connection)
        return time.perf_counter() - started_s
    finally:
        connection.close()


async def _publish_core(link: Link) -> tuple[float, int]:
    """Publish without asking for anything; return the seconds until the flush and what was stored by then."""
    messages = await _outgoing(link)
    before = (await stream_facts(link, MOUNTS_STREAM)).last_seq
    nc = link.nc
    started_s = time.perf_counter()
    for message in messages:
        await nc.publish(message.subject, message.data)
    await nc.flush()
    took_s = time.perf_counter() - started_s
    stored = (await stream_facts(link, MOUNTS_STREAM)).last_seq - before
    async with asyncio.timeout(SETTLE_S):
        while (await stream_facts(link, MOUNTS_STREAM)).last_seq < before + len(messages):
            continue
    return took_s, stored


async def _publish_singly(link: Link) -> float:
    """Return the seconds per message."""
    messages = (await _outgoing(link))[:ONE_BY_ONE]
    js = link.js
    started_s = time.perf_counter()
    for message in messages:
        await js.publish(message.subject, message.data)
    return (time.perf_counter() - started_s) / len(messages)


ROW = Row("fan-out", "Acknowledged fan-out", measure, Loop.UVLOOP)
