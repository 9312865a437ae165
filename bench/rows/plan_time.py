"""100 shares in one guest: how long it takes to plan what to do with them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.desired import Desired, Entry, Origin
from agent.reconcile.live import LiveShare
from agent.reconcile.plan import plan
from bench.frame import Effort, Figure, Row, below
from weft.wire.blocks import BindBlock
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount

SHARES = 100
UTC_NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def measure(effort: Effort) -> list[Figure]:
    """Plan with nothing mounted, with everything mounted, and with every share below another."""
    rounds = effort.pick(full=200, quick=5)
    flat = [_share(number, f"/srv/s{number}") for number in range(SHARES)]
    nested = [_share(number, f"/srv/s{number // 10}" + "/below" * (number % 10)) for number in range(SHARES)]
    standing = {share.share_id: LiveShare(share, share_digest(share)) for share in flat}
    return [
        _time("all of them to be mounted", flat, {}, rounds),
        _time("all of them mounted, nothing to do", flat, standing, rounds),
        _time("all of them to be mounted, ten deep below each other", nested, {}, rounds),
    ]


def _time(name: str, shares: list[ShareMount], live: Mapping[ShareId, LiveShare], rounds: int) -> Figure:
    entries = {share.share_id: Entry.of(share, Origin.SET) for share in shares}
    desired = Desired(VmId("vm-7"), revision=1, shares=entries, is_complete=True)
    samples: list[float] = []
    for _ in range(rounds):
        started = time.perf_counter()
        plan(desired, {}, live, now_s=0.0, utc=UTC_NOW)
        samples.append((time.perf_counter() - started) * 1000)
    return Figure(f"{SHARES} shares planned, {name}", "ms", tuple(samples), below(5))


def _share(number: int, mount_point: str) -> ShareMount:
    return ShareMount(id=f"s{number}", backend="bind", mount_point=mount_point, bind=BindBlock(source=f"/opt/{number}"))


ROW = Row("plan", "100 shares in one guest, planned", measure)
