"""Publishing again what everybody has: nothing must be stored."""

from __future__ import annotations

import time

from bench.fleet import CLASS, running_fleet, team_data
from bench.frame import Effort, Figure, Loop, Row, below
from controlplane.jetstream import stream_facts
from weft.wire.subjects import MOUNTS_STREAM


async def measure(effort: Effort) -> list[Figure]:
    """Publish the same share to the same class, again and again."""
    vms = effort.pick(full=10_000, quick=200)
    took_ms: list[float] = []
    stored: list[float] = []
    async with running_fleet(vms) as (_, plane):
        for _ in range(effort.pick(full=5, quick=2)):
            before = await stream_facts(plane.link, MOUNTS_STREAM)
            started_s = time.perf_counter()
            fan_out = await plane.publish(team_data(0), classes=[CLASS])
            took_ms.append((time.perf_counter() - started_s) * 1000)
            after = await stream_facts(plane.link, MOUNTS_STREAM)
            stored.append(after.last_seq - before.last_seq)
            assert len(fan_out.unchanged) == vms, "somebody's list is said to have changed"
    return [
        Figure(f"messages stored by an unchanged publish to {vms:,} VMs", "", tuple(stored), below(0)),
        Figure(f"unchanged publish to {vms:,} VMs", "ms", tuple(took_ms)),
    ]


ROW = Row("unchanged", "Unchanged publish", measure, Loop.UVLOOP)
