"""``weft list`` of 100 shares: what an operator waits for before anything shows."""

from __future__ import annotations

from bench.commands import Run, run_python, run_weft
from bench.fleet import CLASS, running_plane, team_data
from bench.frame import Effort, Figure, Row, below
from weft.wire.share import ShareMount

LIBRARIES = "import sys; sys.modules['rich'] = None; import asyncio, click, msgspec, nats, structlog"


async def measure(effort: Effort) -> list[Figure]:
    """Run the command, and interpreters that do nothing, in turn."""
    shares = effort.pick(full=100, quick=10)
    listings: list[Run] = []
    libraries: list[Run] = []
    bare: list[Run] = []
    async with running_plane() as (broker, plane):
        await plane.create_class(CLASS)
        await plane.publish([_share(number) for number in range(shares)], classes=[CLASS])
        for _ in range(effort.pick(full=15, quick=2)):
            listings.append(run_weft(broker.url, "list"))
            libraries.append(run_python(LIBRARIES))
            bare.append(run_python("pass"))
    assert all(f"data-{shares - 1:03d}" in run.output for run in listings), "a listing lacks a share"
    return [
        Figure(f"weft list, {shares} shares", "ms", tuple(run.took_ms for run in listings), below(300)),
        Figure("CPU of it", "ms", tuple(run.cpu_ms for run in listings)),
        Figure("an interpreter that imports its libraries and ends", "ms", tuple(run.took_ms for run in libraries)),
        Figure("an interpreter that ends", "ms", tuple(run.took_ms for run in bare)),
    ]


def _share(number: int) -> ShareMount:
    name = f"data-{number:03d}"
    return ShareMount(id=name, mount_point=f"/run/weft/shares/{name}", cubefs=team_data(number).cubefs)


ROW = Row("list", "weft list: from the command to its last line", measure)
