"""20 shares in one guest: from the accepted list to the last mount, beside the same clients started by hand."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agent.desired import Desired, Entry, Origin
from agent.mounts.engine import MountEngine
from agent.mounts.table import MountTableWatcher
from agent.reconcile.live import LiveShare
from agent.reconcile.reconciler import Reconciler
from bench.bare import bare_clients, wait_mounted
from bench.engine import bench_share, running_engine
from bench.frame import Effort, Figure, Row, Target, below, ratio
from weft.errors import MountError
from weft.wire.ids import VmId
from weft.wire.share import ShareMount

DEADLINE_S = 60.0


async def measure(effort: Effort) -> list[Figure]:
    """Mount them with both kinds of client, then many more."""
    rounds = effort.pick(full=7, quick=2)
    shares = effort.pick(full=20, quick=3)
    many = effort.pick(full=100, quick=4)
    figures: list[Figure] = []
    async with running_engine() as (engine, table, root):
        figures += await _compare(
            engine, table, root, "instant", shares, rounds, target=below(0.3), note="the Go agent: 4.06 s"
        )
        figures += await _compare(
            engine, table, root, "fuse", shares, rounds, target=None, note="each client is a Python interpreter"
        )
        figures += await _compare(engine, table, root, "instant", many, 3, target=None, note="")
    return figures


async def _compare(
    engine: MountEngine,
    table: MountTableWatcher,
    root: Path,
    client: str,
    shares: int,
    rounds: int,
    *,
    target: Target | None,
    note: str,
) -> list[Figure]:
    failures: list[str] = []
    ours: list[float] = []
    bare: list[float] = []
    for number in range(rounds):
        paths = [root / f"b{number}-{each}" for each in range(shares)]
        for path in paths:
            path.mkdir()
        with bare_clients(client, paths) as started_s:
            bare.append(await wait_mounted(table, paths) - started_s)
        for path in paths:
            path.rmdir()
        wanted = [bench_share(f"s{number}-{each}", root / f"s{number}-{each}", client) for each in range(shares)]
        ours.append(await _mount_all(engine, wanted, failures))
    if failures:
        note = f"{note}; {len(failures)} attempts failed and were repeated, the first: {failures[0]}"
    mounted = Figure(f"{shares} shares with {client} clients mounted", "s", tuple(ours), target, note)
    alone = Figure(f"{shares} {client} clients started by hand", "s", tuple(bare))
    return [mounted, alone, ratio("engine over by hand", mounted, alone)]


async def _mount_all(engine: MountEngine, wanted: list[ShareMount], failures: list[str]) -> float:
    """
    Return the seconds from holding a list to its last mount; everything is unmounted again.

    Args:
        engine: Has nothing mounted.
        wanted: The list.
        failures: Gets every attempt that failed, since the wait for another would be part of the time.
    """
    shares = {share.share_id: Entry.of(share, Origin.SET) for share in wanted}

    async def apply(share: ShareMount) -> None:
        try:
            await engine.apply(share)
        except MountError as exc:
            failures.append(f"{'unmount' if share.is_unmount else 'mount'} {exc}")
            raise

    reconciler = Reconciler(
        Desired(VmId("vm-7")),
        observe=lambda: {
            share_id: LiveShare(mount.share, mount.digest, engine.presence(share_id))
            for share_id, mount in engine.mounted().items()
        },
        apply=apply,
        check=engine.check,
    )
    running = asyncio.create_task(reconciler.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await reconciler.wait_for(lambda progress: progress.is_settled)
            started_s = time.monotonic()
            reconciler.want(Desired(VmId("vm-7"), revision=1, shares=shares, is_complete=True))
            await reconciler.wait_for(lambda progress: progress.is_settled)
            took_s = time.monotonic() - started_s
            assert len(engine.mounted()) == len(wanted), "not every share was mounted"
            reconciler.want(Desired(VmId("vm-7"), revision=2, is_complete=True))
            await reconciler.wait_for(lambda progress: progress.is_settled)
            assert not engine.mounted(), "not every share was unmounted"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return took_s


ROW = Row("shares", "Many shares in one guest", measure)
