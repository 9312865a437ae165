"""Publish → apply: from the publisher's call to the guest's ApplyFunc, in another process."""

from __future__ import annotations

import time

from bench.child import Child, running_child
from bench.fleet import running_plane, team_data
from bench.frame import Effort, Figure, Loop, Row, below, percentile, ratio
from weft.link import Link
from weft.wire.codec import encode_message
from weft.wire.mountset import MountSet
from weft.wire.subjects import subject

VM, FLOOR_VM = "vm-7", "vm-8"


async def measure(effort: Effort) -> list[Figure]:
    """Publish one list after the other, each once the one before was applied."""
    rounds = effort.pick(full=5, quick=2)
    messages = effort.pick(full=400, quick=20)
    ours: list[list[float]] = []
    floor: list[list[float]] = []
    async with running_plane() as (broker, plane), running_child("subscriber", broker.url, VM, FLOOR_VM) as child:
        assert await child.hear() == "ready"
        edition = 0
        for _ in range(rounds):
            ours.append([])
            floor.append([])
            for _ in range(messages):
                edition += 1
                floor[-1].append(await _deliver(plane.link, child, FLOOR_VM, edition))
                ours[-1].append(await _deliver(plane.link, child, VM, edition))
    median = Figure("publish → apply, median", "ms", _percentiles(ours, 50), below(0.5), "the Go agent: 0.14 ms")
    least = Figure("publish → callback of a bare nats-py subscription, median", "ms", _percentiles(floor, 50))
    return [
        median,
        Figure("publish → apply, p99", "ms", _percentiles(ours, 99), below(2), "the Go agent: 0.52 ms"),
        least,
        Figure("publish → callback of a bare nats-py subscription, p99", "ms", _percentiles(floor, 99)),
        ratio("apply over bare callback, medians", median, least),
    ]


async def _deliver(link: Link, child: Child, vm: str, edition: int) -> float:
    """Store one list and return the milliseconds until the other process had it."""
    share = team_data(edition)
    revision = time.time_ns() // 1_000_000 + edition
    data = encode_message(MountSet(vm=vm, revision=revision, shares=(share,), changed=share))
    started_ns = time.monotonic_ns()
    await link.publish(subject(vm), data)
    what, heard_ns = (await child.hear()).split()
    assert what in (f"team{edition}", str(len(data))), f"another message was applied: {what}"
    return (int(heard_ns) - started_ns) / 1e6


def _percentiles(rounds: list[list[float]], percent: float) -> tuple[float, ...]:
    return tuple(percentile(samples, percent) for samples in rounds)


ROW = Row("delivery", "Publish → apply, one VM, between processes", measure, Loop.UVLOOP)
