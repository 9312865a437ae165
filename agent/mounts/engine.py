"""The engine that makes a share true on this guest: the ApplyFunc, and what it knows of its live mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.actual import LiveMount, LiveStore, Presence
from agent.drivers.base import Driver
from agent.mounts import places
from agent.mounts.adopt import AdoptionReport, recognise
from agent.mounts.adoption import adopt_all
from agent.mounts.bring_up import bring_up
from agent.mounts.cage import Views
from agent.mounts.cage_files import copy_etc
from agent.mounts.liveness import Liveness
from agent.mounts.liveness_watch import LivenessWatch, Rhythm
from agent.mounts.locks import NamedLocks
from agent.mounts.losses import Losses
from agent.mounts.ownership import find_entry
from agent.mounts.parts import Limits, Parts
from agent.mounts.policy import Policy
from agent.mounts.prepare import prepare
from agent.mounts.table import MountTableWatcher
from agent.mounts.take_down import TakenDown, take_down
from agent.mounts.uploads import settle_cache
from agent.mounts.walker import Walker
from agent.supervise.process import ClientProcess
from weft.errors import MountError, MountTimeoutError, NotMountedError
from weft.wire.digest import mount_digest, share_digest
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount

_LOOK_EVERY_S = 10.0
"""Between two looks for what nobody tells: ten small files are compared, and one table of mounts is read."""

_VERSION_DEADLINE_S = 5.0
"""For a client to print its version."""


class MountEngine:
    """
    Mounts, replaces and unmounts single shares; order among shares is the reconciler's.

    Args:
        drivers: By backend.
        programs: Absolute paths of the programs this guest has, by name.
        walker: Makes the calls that could hang; started and closed by the owner.
        table: Watches the mount table; started and closed by the owner.
        policy: What this guest allows.
        live: Remembers what is mounted across the agent's life.
        resolve: Replaces credential references by their values; raises a MountError.
        resolved: Says what it put in so far; none of it is in an error or remark that leaves here.
        run_dir: Holds private directories until the next boot; its path must be short.
        state_dir: Holds caches.
        boot_id: Of this boot.
        on_change: Told, on the loop, of a mount that was lost or hangs (with the reason) or is well again (with None).
        on_remark: Told, during an apply, what is worth knowing of it though it is no failure.
        is_shielding: Whether directories that are made here are closed to users while nothing is mounted on them.
        views: What clients see of this guest besides what their shares name.
        limits: Longest waits.
        rhythm: How often mounts are asked whether they answer.
    """

    def __init__(
        self,
        *,
        drivers: Mapping[str, Driver],
        programs: Mapping[str, Path],
        walker: Walker,
        table: MountTableWatcher,
        policy: Policy,
        live: LiveStore,
        resolve: Callable[[ShareMount], ShareMount],
        run_dir: Path,
        state_dir: Path,
        boot_id: str,
        on_change: Callable[[ShareId, MountError | None], None],
        on_remark: Callable[[ShareId, MountError | None], None] = lambda share_id, remark: None,
        resolved: Callable[[], Iterable[str]] = tuple,
        is_shielding: bool = False,
        views: Views | None = None,
        limits: Limits | None = None,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._parts = Parts(
            drivers=drivers,
            programs=programs,
            walker=walker,
            table=table,
            policy=policy,
            live=live,
            resolve=resolve,
            resolved=resolved,
            run_dir=run_dir,
            state_dir=state_dir,
            boot_id=boot_id,
            limits=limits or Limits(),
            is_shielding=is_shielding,
            views=views or Views(),
            remark=self._redacting(on_remark),
        )
        tell = self._redacting(on_change)
        self._losses = Losses(parts=self._parts, on_change=tell)
        self._liveness = LivenessWatch(
            parts=self._parts, losses=self._losses, on_change=tell, rhythm=rhythm or Rhythm()
        )
        self._locks = NamedLocks()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch; :meth:`adopt` comes next, before any :meth:`apply`."""
        places.make_private_root(self._parts.run_dir)
        copy_etc(places.etc_dir(self._parts.run_dir))
        self._losses.start()
        self._looking = asyncio.get_running_loop().create_task(self._look_around(), name="weft-look")

    async def close(self) -> None:
        """Stop watching; every mount and client is left as it is."""
        if self._looking is not None:
            self._looking.cancel()
        await self._liveness.close()
        self._losses.close()

    async def adopt(self, wanted: Mapping[ShareId, ShareMount]) -> AdoptionReport:
        """
        Take over what an earlier agent left; nothing that works is touched.

        Args:
            wanted: The desired shares by id; what works and is not among them is reported as an orphan and stays.

        Returns:
            What was found; of what stands and is dead ``on_change`` was told, as of any loss.
        """
        report, clients = await adopt_all(wanted, parts=self._parts)
        for share_id, error in report.failed.items():
            self._parts.redact(error, wanted.get(share_id))
        for share_id in report.adopted:
            self._watch(share_id, clients.pop(share_id, None))
        for share_id, client in clients.items():  # alive without a mount: the next apply ends it
            self._losses.keep(share_id, client)
        for share_id in report.lost:
            self._losses.tell_found(share_id)
        return report

    def recognise(self, wanted: Mapping[ShareId, ShareMount]) -> None:
        """Know what was adopted by its source alone, the ledger being lost, for what is wanted, where it is that."""
        for live in tuple(self._parts.live.live()):
            share = wanted.get(live.share_id)
            known = recognise(live, share) if share is not None else None
            if known is not None:
                self._parts.record(known)

    async def apply(self, share: ShareMount) -> None:
        """
        Mount, replace or unmount one share; asking twice is the same as asking once.

        Args:
            share: What is wanted; an unmount needs only the id.

        Raises:
            MountError: it is not so; ``keeps_old`` says that an earlier version still stands and works.
        """
        async with self._locks.hold(f"share {share.id}"):
            live = self._parts.live.find_live(share.share_id)
            places_touched = {share.mount_point, live.mount_point if live else ""} - {""}
            async with self._locks.hold(*places_touched):
                with self._redacted(share, live):
                    if share.is_unmount:
                        await self._unmount(share.share_id, live)
                    else:
                        await self._mount(share, live)

    async def check(self, share: ShareMount) -> None:
        """
        Find out what can be known of *share* before anything is changed.

        Raises:
            MountError: it would not, or may not, be mounted.
        """
        live = self._parts.live.find_live(share.share_id)
        standing_at = self._standing_at(share, live)
        with self._redacted(share, live):
            await prepare(share, standing_at=standing_at, is_first=_is_first(share, live), parts=self._parts)

    def presence(self, share_id: ShareId) -> Presence:
        """Say how a share stands, from the mount table and its client alone; never blocks."""
        return self._losses.presence(share_id)

    def mounted(self) -> Mapping[ShareId, LiveMount]:
        """Return every record: of what stands or may stand, and of what is down and still has directories of ours."""
        return {live.share_id: live for live in self._parts.live.live()}

    async def probe(self, share_id: ShareId, deadline_s: float) -> Liveness:
        """
        Say whether the client of a mounted share answers.

        Raises:
            NotMountedError: nothing of it stands.
        """
        live = self._parts.live.find_live(share_id)
        entry = live and find_entry(live, self._parts.table.current, boot_id=self._parts.boot_id)
        if not entry:
            raise NotMountedError(f"cannot probe share {share_id!r}: it is not mounted")
        client = self._losses.client(share_id)
        if client is not None and client.has_exited:
            return Liveness.DEAD
        return await self._parts.walker.probe(entry.mount_point, deadline_s=deadline_s, mount_id=entry.mount_id)

    async def versions(self) -> dict[str, str | None]:
        """Ask every driver for its client's version, all at once; None where there is none or it does not say."""
        names = list(self._parts.drivers)
        found = await asyncio.gather(*(self._version(self._parts.drivers[name]) for name in names))
        return dict(zip(names, found, strict=True))

    # --- what is said -----------------------------------------------------------------------------------------------

    @contextmanager
    def _redacted(self, share: ShareMount, live: LiveMount | None) -> Iterator[None]:
        """Let no error out that holds a secret, whoever wrote its text: a client, a server or a driver."""
        try:
            yield
        except Exception as exc:
            self._parts.redact(exc, share, live.share if live else None)
            raise

    def _redacting(
        self, tell: Callable[[ShareId, MountError | None], None]
    ) -> Callable[[ShareId, MountError | None], None]:
        def told(share_id: ShareId, error: MountError | None) -> None:
            if error is not None:
                live = self._parts.live.find_live(share_id)
                self._parts.redact(error, live.share if live else None)
            tell(share_id, error)

        return told

    # --- one share --------------------------------------------------------------------------------------------------

    async def _mount(self, share: ShareMount, live: LiveMount | None) -> None:
        if live is None or self.presence(share.share_id) is not Presence.MOUNTED:
            await self._mount_absent(share, live)
        elif live.digest == share_digest(share):
            if live.share != share:  # a field that no mount depends on, such as its priority
                self._parts.record(msgspec.structs.replace(live, share=share))
        elif not await self._apply_live(share, live):
            await self._replace(share, live)

    async def _mount_absent(self, share: ShareMount, live: LiveMount | None) -> None:
        """Mount what is not mounted, or what is lost: a dead mount goes first, whatever becomes of the new one."""
        if live is not None:
            await self._take_down(live)
        is_first = _is_first(share, live)
        prepared = await prepare(share, standing_at=None, is_first=is_first, parts=self._parts)
        with self._losses.changing(share.share_id):
            self._watch(share.share_id, (await bring_up(prepared, parts=self._parts))[1])

    async def _replace(self, share: ShareMount, live: LiveMount) -> None:
        """Change a working mount: whatever can be known is known before it goes."""
        standing_at = self._standing_at(share, live)
        try:
            prepared = await prepare(share, standing_at=standing_at, is_first=_is_first(share, live), parts=self._parts)
        except MountError as exc:
            exc.keeps_old = True
            raise
        with self._losses.changing(share.share_id):
            await self._take_down(live)
            self._watch(share.share_id, (await bring_up(prepared, parts=self._parts))[1])

    async def _apply_live(self, share: ShareMount, live: LiveMount) -> bool:
        """Change a working mount without a remount where that can be; say whether it was."""
        driver = self._parts.find_driver(share)
        is_refresh = mount_digest(live.share) == mount_digest(share)
        is_same_kind = live.share.backend_name == share.backend_name and not live.share.is_unmount
        may_be_live = is_same_kind and live.mount_point == share.mount_point
        if not is_refresh and not (may_be_live and driver.can_apply_live(live.share, share)):
            return False
        limit_s = self._parts.limits.live_s
        try:
            context = self._parts.context(self._parts.resolve(share), source=live.source)
            async with asyncio.timeout(limit_s + 1):
                if is_refresh:
                    await driver.refresh(context, deadline_s=limit_s)
                else:
                    await driver.apply_live(self._parts.resolve(live.share), context, deadline_s=limit_s)
        except TimeoutError as exc:
            error = MountTimeoutError(f"cannot change share {share.id!r}: its client did not answer in {limit_s:g} s")
            error.keeps_old = True
            raise error from exc
        except MountError as exc:
            exc.keeps_old = True
            raise
        self._parts.record(msgspec.structs.replace(live, share=share, digest=share_digest(share)))
        return True

    async def _unmount(self, share_id: ShareId, live: LiveMount | None) -> None:
        if live is None:
            return
        taken = await self._take_down(live)
        self._parts.forget_if_down(share_id)
        await settle_cache(live, taken, parts=self._parts)

    async def _take_down(self, live: LiveMount) -> TakenDown:
        with self._losses.changing(live.share_id):
            is_silent = self._liveness.leave(live.share_id) or self._losses.is_given_up(live.share_id)
            client = self._losses.unwatch(live.share_id)
            try:
                return await take_down(live, client, parts=self._parts, is_hung=is_silent)
            except BaseException:
                self._watch(live.share_id, client)
                raise

    async def _look_around(self) -> None:
        """
        Look for changes that no event tells.

        Clients find their servers after the guest has moved to another network. A source that was renamed shows in the
        mount table, and is a loss like any other.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await asyncio.to_thread(copy_etc, places.etc_dir(self._parts.run_dir))
            self._parts.table.refresh()

    def _watch(self, share_id: ShareId, client: ClientProcess | None) -> None:
        self._losses.watch(share_id, client)
        self._liveness.follow(share_id)

    def _standing_at(self, share: ShareMount, live: LiveMount | None) -> str | None:
        if live is None or live.mount_point != share.mount_point:
            return None
        entry = find_entry(live, self._parts.table.current, boot_id=self._parts.boot_id)
        return None if entry is None else live.real_path

    async def _version(self, driver: Driver) -> str | None:
        try:
            async with asyncio.timeout(_VERSION_DEADLINE_S):
                return await driver.find_version(self._parts.programs)
        except (MountError, TimeoutError):
            return None


def _is_first(share: ShareMount, live: LiveMount | None) -> bool:
    return live is None or live.mount_point != share.mount_point
