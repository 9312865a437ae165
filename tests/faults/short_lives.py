"""Agents that live briefly, each in a process of its own that may end in the middle of any call; mounts stay."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.drivers.kernel import BindDriver
from agent.ledger import Ledger
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.policy import Policy
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from agent.supervise.identity import read_boot_id
from tests.fakes.clock import HastyClock
from tests.faults.strikes import Strike, StruckDriver, StruckLive, StruckWalker
from tests.parts.engine_rig import FAST
from tests.parts.reconciling import Guest
from tests.parts.views import PYTHON
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount, parse_share, share_to_builtins

KILLED = 77
"""Exit code of an agent that ended in the middle of a call."""

HASTE = 20.0
LIFE_S = 60.0
PRELOADED = ["tests.faults.short_lives"]
_start = multiprocessing.get_context("forkserver")


def live(directory: Path, lists: Sequence[Sequence[ShareMount]], *, ends_at: int = 0) -> int | None:
    """
    Let an agent live until it has made every list true, one after the other, or until it ends before that.

    Args:
        directory: Of the guest; each of its agents gets the same.
        lists: What is wanted.
        ends_at: The call after whose work it ends, from 1; 0 for none.

    Returns:
        Its exit code: :data:`KILLED` if it ended at the call, 0 if it came to the end of the lists.
    """
    _start.set_forkserver_preload(PRELOADED)
    documents = [[share_to_builtins(share) for share in shares] for shares in lists]
    process = _start.Process(target=_live, args=(directory, documents, ends_at))
    process.start()
    process.join(LIFE_S)
    try:
        return process.exitcode
    finally:
        process.kill()
        process.join()
        process.close()


def _live(directory: Path, every: list[list[dict[str, object]]], ends_at: int) -> None:
    lists = [[parse_share(document) for document in documents] for documents in every]
    asyncio.run(_life(directory, lists, Strike(ends_at, lambda: os._exit(KILLED), is_late=True)))


async def _life(directory: Path, lists: list[list[ShareMount]], strike: Strike) -> None:
    ledger = Ledger(directory / "state", VmId("vm-7"))
    ledger.load()
    async with Walker() as walker:
        with MountTableWatcher() as table:
            engine = _engine(directory, walker, table, ledger, strike)
            await engine.start()
            await engine.adopt({share.share_id: share for share in lists[0]})
            guest = Guest(engine, HastyClock(HASTE))
            work = asyncio.create_task(guest.reconciler.run())
            for shares in lists:
                guest.want(*shares)
                await guest.until_states(**{share.id: "mounted" for share in shares})
                await guest.until(lambda progress: progress.is_settled)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await engine.close()


def _engine(directory: Path, walker: Walker, table: MountTableWatcher, ledger: Ledger, strike: Strike) -> MountEngine:
    return MountEngine(
        drivers={"slate": StruckDriver(strike, is_fatal=True), "bind": BindDriver()},
        programs={"python": Path(sys.executable), "mount": Path("/usr/bin/mount")},
        walker=StruckWalker.around(walker, strike),
        table=table,
        policy=Policy(roots=(str(directory / "shares"),), source_roots=(str(directory / "sources"),)),
        live=StruckLive(ledger, strike),
        resolve=lambda share: share,
        run_dir=directory / "run",
        state_dir=directory / "state",
        boot_id=read_boot_id(),
        on_change=lambda share_id, error: None,
        views=Views(read_only=PYTHON),
        limits=FAST,
    )


def remembered(directory: Path) -> dict[ShareId, int | None]:
    """Return the shares that the ledger knows to be live, with their clients."""
    ledger = Ledger(directory / "state", VmId("vm-7"))
    ledger.load()
    return {live.share_id: live.process.pid if live.process else None for live in ledger.live()}
