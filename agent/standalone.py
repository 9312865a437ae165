"""Mount shares without any broker for as long as somebody holds them; what a killed holder left, the next one finds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.credentials import CredentialResolver
from agent.desired import Desired, Entry, Origin
from agent.drivers.registry import load_drivers
from agent.ledger import Ledger
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.places import private_root
from agent.mounts.policy import DEFAULT_ROOTS, Policy
from agent.mounts.protected import find_protected, read_homes
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from agent.programs import Programs
from agent.reconcile.live import LiveShare
from agent.reconcile.reconciler import Progress, Reconciler
from agent.run_dir import RunDirLock
from agent.supervise.identity import read_boot_id
from weft.errors import MountError, UnmountError
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

STANDALONE: Final = VmId("standalone")
_LEAVE_S: Final = 60.0
"""For everything to be stored and unmounted at the end; what is not by then, the next holder sees to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """
    Where a holder keeps its files, and what it may do.

    Attributes:
        run_dir: Private files of mounts, until the next boot; at most 60 bytes long, one holder at a time.
        state_dir: What is mounted, and caches.
        allow: Roots below which shares may be mounted.
        allow_source: Roots below which directories of the guest may be shown.
        allow_options: Options of backends that touch files of the guest or run commands on it, and are allowed.
        views: What clients see of the guest besides what their shares name.
        allow_types: Types of rclone remotes that are otherwise refused, and are allowed.
        is_shielding: Whether directories made for mount points are closed while nothing is mounted on them.
        kept: Further directories that no share may cover or show: what its own are parts of, files with settings.
    """

    run_dir: Path
    state_dir: Path
    allow: tuple[str, ...] = DEFAULT_ROOTS
    allow_source: tuple[str, ...] = DEFAULT_ROOTS
    allow_options: frozenset[str] = frozenset()
    views: Views = field(default_factory=Views)
    allow_types: frozenset[str] = frozenset()
    is_shielding: bool = False
    kept: tuple[Path, ...] = ()


class Holder:
    """
    What holds the shares.

    Args:
        reconciler: Keeps them mounted.
        work: The task in which it does so.
    """

    def __init__(self, reconciler: Reconciler, work: asyncio.Task[None]) -> None:
        self._reconciler = reconciler
        self._work = work

    @property
    def progress(self) -> Progress:
        """Where every share stands."""
        return self._reconciler.progress

    async def wait_for(self, is_reached: Callable[[Progress], bool]) -> None:
        """
        Wait until *is_reached* holds; bounded by the caller.

        Raises:
            Exception: what ended the work, should it have ended.
        """
        waiting = asyncio.ensure_future(self._reconciler.wait_for(is_reached))
        try:
            await asyncio.wait({waiting, self._work}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                await self._work
        finally:
            waiting.cancel()

    async def let_go(self) -> None:
        """
        Unmount everything, children first.

        Raises:
            UnmountError: something is still mounted after a minute.
        """
        self._reconciler.want(_desire(()))
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self.wait_for(_is_empty)
        except TimeoutError as exc:
            left = ", ".join(repr(share_id) for share_id in sorted(self.progress.standings))
            raise UnmountError(f"cannot unmount {left} in {_LEAVE_S:g} s; the next start tries again") from exc


@asynccontextmanager
async def hold(
    shares: Iterable[ShareMount],
    *,
    where: Surroundings,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> AsyncIterator[Holder]:
    """
    Mount *shares* and keep them mounted, repairs included; unmount them in the end.

    Args:
        shares: What to mount; whatever a killed holder with the same directories left is unmounted.
        where: Directories and permissions.
        on_progress: Called after every change of where a share stands.

    Raises:
        ConfigError: somebody else uses the directories.
        WeftError: an unmount failed at the end.
    """
    shares = tuple(shares)
    async with AsyncExitStack() as stack:
        lock = RunDirLock(where.run_dir)
        lock.take()
        stack.callback(lock.release)
        ledger = Ledger(where.state_dir, STANDALONE, spare=private_root(where.run_dir))
        ledger.load()
        walker = await stack.enter_async_context(Walker())
        table = stack.enter_context(MountTableWatcher())
        told: list[Reconciler] = []
        engine = _make_engine(where, ledger, walker, table, told)
        await engine.start()
        stack.push_async_callback(engine.close)
        await engine.adopt({share.share_id: share for share in shares})
        reconciler = Reconciler(
            _desire(shares),
            observe=lambda: _observe(engine),
            apply=engine.apply,
            check=engine.check,
            on_progress=on_progress,
        )
        told.append(reconciler)
        work = asyncio.get_running_loop().create_task(reconciler.run(), name="weft-standalone")
        stack.push_async_callback(_end, work)
        holder = Holder(reconciler, work)
        try:
            yield holder
        finally:
            if not work.done():
                await holder.let_go()


def _make_engine(
    where: Surroundings, ledger: Ledger, walker: Walker, table: MountTableWatcher, told: list[Reconciler]
) -> MountEngine:
    drivers = load_drivers(allow_options=where.allow_options, allow_types=where.allow_types)
    programs = Programs(name for driver in drivers.values() for name in driver.programs)
    credentials = CredentialResolver(environ=os.environ)
    own = (where.state_dir, where.run_dir, *where.kept, *credentials.directories, *where.views.paths)

    def tell_change(share_id: ShareId, error: MountError | None) -> None:
        for reconciler in told:
            reconciler.ail(share_id, error)

    def tell_remark(share_id: ShareId, remark: MountError | None) -> None:
        for reconciler in told:
            reconciler.remark(share_id, remark)

    return MountEngine(
        drivers=drivers,
        programs=programs,
        walker=walker,
        table=table,
        policy=Policy(
            roots=where.allow,
            source_roots=where.allow_source,
            protected=find_protected(programs, drivers.values(), directories=own),
            homes=read_homes(),
        ),
        live=ledger,
        resolve=credentials.resolve,
        resolved=credentials.values,
        run_dir=where.run_dir,
        state_dir=where.state_dir,
        boot_id=read_boot_id(),
        on_change=tell_change,
        on_remark=tell_remark,
        is_shielding=where.is_shielding,
        views=where.views,
    )


def _observe(engine: MountEngine) -> dict[ShareId, LiveShare]:
    return {
        share_id: LiveShare(mount.share, mount.digest, engine.presence(share_id))
        for share_id, mount in engine.mounted().items()
    }


def _desire(shares: Iterable[ShareMount]) -> Desired:
    entries = {share.share_id: Entry.of(share, Origin.BOOT) for share in shares}
    return Desired(STANDALONE, revision=1, shares=entries, is_complete=True)


def _is_empty(progress: Progress) -> bool:
    in_work = (ShareState.MOUNTING, ShareState.UNMOUNTING)
    return not any(standing.digest or standing.state in in_work for standing in progress.standings.values())


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    await asyncio.wait({work})
