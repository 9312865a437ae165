"""``weft status`` over 10,000 VMs that all report: the command as it is run, and what its time goes into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from bench.commands import Run, run_python, run_weft
from bench.fleet import running_fleet, team_data
from bench.frame import Effort, Figure, Loop, Row, below, ratio
from bench.raw_reading import read_raw
from controlplane.catalog import EVERYTHING
from controlplane.cli import status_view
from controlplane.jetstream import stream_facts
from controlplane.messages import LastMessage
from controlplane.plane import ControlPlane
from controlplane.reader import read_complete
from controlplane.views import VmView
from weft.link import Link
from weft.wire.digest import share_digest
from weft.wire.ids import VmId
from weft.wire.status import AgentInfo, Mode, ShareState, ShareStatus, VmStatus, encode_status
from weft.wire.subjects import (
    CATALOG_STREAM,
    MOUNTS_ALL,
    MOUNTS_STREAM,
    STATUS_ALL,
    STATUS_STREAM,
    status_subject,
    vm_of_subject,
)

KEPT = 3
"""Reports that the stream keeps of each VM, all of which are read: they show two guests under one id."""
SETTLE_S = 60.0
BACKENDS: Mapping[str, str | None] = {"bind": "6.1.0", "cubefs": "3.5.1", "nfs": None, "rclone": "1.74.0"}
IMPORTS = "import controlplane.cli.app, controlplane.plane, controlplane.cli.status_view, uvloop"


async def measure(effort: Effort) -> list[Figure]:
    """Run the command; then its parts in this process; then the broker alone."""
    vms = effort.pick(full=10_000, quick=200)
    commands: list[Run] = []
    imports: list[Run] = []
    reading: list[float] = []
    rendering: list[float] = []
    sending: list[float] = []
    async with running_fleet(vms) as (broker, plane):
        await _report(plane.link, KEPT)
        for _ in range(effort.pick(full=9, quick=2)):
            commands.append(run_weft(broker.url, "status"))
            imports.append(run_python(IMPORTS))
            started_s = time.perf_counter()
            views = await ControlPlane(plane.link).status()
            reading.append(_ms_since(started_s))
            started_s = time.perf_counter()
            _render(views)
            rendering.append(_ms_since(started_s))
            started_s = time.perf_counter()
            await _send_only(plane.link, broker.url)
            sending.append(_ms_since(started_s))
    assert all(f"{vms} VMs: {vms} ok" in run.output for run in commands), commands[-1].output
    read = Figure(
        "of which read and decoded", "ms", tuple(reading), note=f"{KEPT} reports, a list and a class for each"
    )
    sent = Figure("the broker's own time to send that", "ms", tuple(sending), note="to connections that decode nothing")
    return [
        Figure(f"weft status, {vms:,} VMs", "ms", tuple(run.took_ms for run in commands), below(1000)),
        Figure("CPU of it", "ms", tuple(run.cpu_ms for run in commands)),
        Figure("of which start and imports", "ms", tuple(run.took_ms for run in imports)),
        read,
        Figure("of which rendering", "ms", tuple(rendering)),
        sent,
        ratio("read over the broker's own", read, sent),
    ]


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000


async def _report(link: Link, times: int) -> None:
    """Let every VM say that it has what it should, as guests do: nobody waits for an answer."""
    last = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    reports = [_status(vm_of_subject(message.subject), LastMessage(message).revision) for message in last.values()]
    before = (await stream_facts(link, STATUS_STREAM)).last_seq
    for _ in range(times):
        for report in reports:
            await link.nc.publish(status_subject(VmId(report.vm)), encode_status(report))
        await link.flush()
    async with asyncio.timeout(SETTLE_S):
        while (await stream_facts(link, STATUS_STREAM)).last_seq < before + times * len(reports):
            continue


def _status(vm: VmId, revision: int) -> VmStatus:
    now = datetime.now(UTC)
    wanted = team_data(0)
    share = ShareStatus(
        id=wanted.id,
        mount_point=wanted.mount_point,
        backend=wanted.backend_name,
        digest=share_digest(wanted),
        state=ShareState.MOUNTED,
        since=now,
        attempts=1,
    )
    return VmStatus(
        vm=vm,
        hostname=vm,
        revision=revision,
        held_revision=revision,
        boot_id=f"5f3a1c8e-{vm}",
        heartbeat_s=600.0,
        agent=AgentInfo(version="0.1.0", started_at=now, backends=dict(BACKENDS)),
        mode=Mode.JETSTREAM,
        shares=(share,),
        reported_at=now,
    )


def _render(views: list[VmView]) -> None:
    """Build what the command prints."""
    status_view.counts_table(views)
    status_view.reasons_table(views)
    states = status_view.states_of(views)
    status_view.headline(states)
    status_view.next_step([view for view in views if states[view.vm] != "ok"])


async def _send_only(link: Link, url: str) -> None:
    await asyncio.gather(
        read_raw(link, url, STATUS_STREAM, STATUS_ALL, last_per_subject=False),
        read_raw(link, url, MOUNTS_STREAM, MOUNTS_ALL),
        read_raw(link, url, CATALOG_STREAM, EVERYTHING),
    )


ROW = Row("status", "weft status over 10,000 VMs", measure, Loop.UVLOOP)
