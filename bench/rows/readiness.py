"""Client ready → mounted: from the return of the client's mount(2) to the engine's word that the share can be used."""

from __future__ import annotations

import time
from pathlib import Path

from bench.bare import bare_clients, poll_mounted
from bench.engine import bench_share, note_of, running_engine
from bench.frame import Effort, Figure, Row, below, ratio
from weft.wire.share import Action, ShareMount


async def measure(effort: Effort) -> list[Figure]:
    """Mount one share after the other through the engine; watch the same client by polling."""
    rounds = effort.pick(full=30, quick=3)
    polled_rounds = effort.pick(full=7, quick=2)
    events: list[float] = []
    polled: list[float] = []
    async with running_engine() as (engine, _, root):
        for number in range(rounds):
            path = root / f"s{number}"
            await engine.apply(bench_share(path.name, path, "fuse"))
            events.append(_since_ready_ms(path))
            await engine.apply(ShareMount(id=path.name, action=Action.UNMOUNT))
        for number in range(polled_rounds):
            path = root / f"p{number}"
            path.mkdir()
            with bare_clients("fuse", [path]):
                await poll_mounted(path)
                polled.append(_since_ready_ms(path))
    ours = Figure(
        "client ready → mounted", "ms", tuple(events), below(5), "includes a first read of the root directory"
    )
    theirs = Figure("the same client, looked for every 200 ms", "ms", tuple(polled))
    return [ours, theirs, ratio("polling over events", theirs, ours)]


def _since_ready_ms(mount_point: Path) -> float:
    now_ns = time.monotonic_ns()
    return (now_ns - int(note_of(mount_point).read_text())) / 1e6


ROW = Row("readiness", "Share mounted after its FUSE client is ready", measure)
