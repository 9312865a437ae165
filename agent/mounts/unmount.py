"""How a mount goes: asked first, waited for while somebody uses it, detached lazily at the end, and always verified."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar, assert_never

from agent.mounts.facts import Holder
from agent.mounts.liveness import Liveness, liveness_of
from agent.mounts.mountinfo import MountEntry, MountTable
from agent.mounts.walker import UnmountMode
from weft.errors import BusyError, ErrorCode, HungError, MountError, NotMountedError, PathError, UnmountError

T = TypeVar("T")

BUSY_WAIT_S = 5.0
"""For holders to let go before a lazy detach: a command that just ran ends by then, a shell in it never would."""

STEP_DEADLINE_S = 5.0
"""For one umount2(2) or probe; both take milliseconds unless the mount hangs."""

_FIRST_RETRY_S = 0.05
_LONGEST_RETRY_S = 1.0
_LAYERS_AT_MOST = 32
"""Mounts of ours stacked on one path before it looks like a fight with another program that mounts them."""


class Rung(enum.IntEnum):
    """Which rung of the ladder took the mount away, gentlest first; of several layers, the highest that was needed."""

    ABSENT = 0
    """Nothing of ours was mounted."""
    NORMAL = 1
    """A plain unmount."""
    WAITED = 2
    """A plain unmount, once the holders had let go."""
    DETACHED_BUSY = 3
    """Detached lazily, as the holders kept it; they go on using it until they let go."""
    DETACHED_DEAD = 4
    """Detached lazily, as its client was gone."""
    DETACHED_HUNG = 5
    """Detached lazily, as its client did not answer."""


@dataclass(frozen=True, slots=True)
class UnmountResult:
    """
    How it went.

    Attributes:
        rung: What was needed.
        holders: Who used it, if it was found busy.
        took_ms: For all of it, in milliseconds.
        layers: Mounts taken from this path.
    """

    rung: Rung
    holders: tuple[Holder, ...]
    took_ms: float
    layers: int


class UnmountCalls(Protocol):
    """What the ladder needs of a ``Walker``."""

    async def unmount(self, path: str, mount_id: int, mode: UnmountMode = ..., *, deadline_s: float = ...) -> None:
        """Take the mount with this id, the topmost at *path*, away."""
        ...

    async def probe(self, path: str, *, deadline_s: float, mount_id: int = ...) -> Liveness:
        """Say whether its client answers."""
        ...

    async def open_holders(self, path: str, *, deadline_s: float = ...) -> tuple[Holder, ...]:
        """Name who uses it."""
        ...


class AbortCall(Protocol):
    """What an abort needs of a ``Walker``."""

    async def abort(self, connection: str, *, deadline_s: float = ...) -> None:
        """Abort that FUSE connection."""
        ...


class TableView(Protocol):
    """What the ladder needs of a ``MountTableWatcher``."""

    def refresh(self) -> MountTable:
        """Read the table now."""
        ...

    async def wait_for(self, predicate: Callable[[MountTable], T | None], *, deadline_s: float) -> T:
        """Wait until *predicate* returns something."""
        ...


async def unmount(
    mount_point: str,
    *,
    walker: UnmountCalls,
    table: TableView,
    is_ours: Callable[[MountEntry], bool],
    busy_wait_s: float = BUSY_WAIT_S,
    step_deadline_s: float = STEP_DEADLINE_S,
    on_busy: Callable[[tuple[Holder, ...]], None] = lambda holders: None,
) -> UnmountResult:
    """
    Take every mount of ours away from *mount_point*, one umount for each layer.

    A dead or hung mount is detached at once. A busy one is retried for *busy_wait_s*, when what lies on it changes and
    at growing intervals, then detached. Mounts *on* it are never taken along: children go first.

    Args:
        mount_point: Where it stands in mountinfo.
        walker: Makes the calls.
        table: Tells what is mounted.
        is_ours: Tells our mounts from those that must not be touched.
        busy_wait_s: Seconds to wait for holders; 0 detaches a busy mount at once.
        step_deadline_s: Seconds for each single call.
        on_busy: Told who is waited for.

    Returns:
        How it went, ``ABSENT`` if nothing of ours was there.

    Raises:
        BusyError: other mounts lie on it; they are named.
        UnmountError: ours is covered by another mount, or would not go.
        MountError: the walker failed.
    """
    ladder = _Ladder(walker, table, is_ours, busy_wait_s=busy_wait_s, step_deadline_s=step_deadline_s, on_busy=on_busy)
    return await ladder.climb(mount_point, ladder.take)


async def detach_subtree(
    mount_point: str,
    *,
    walker: UnmountCalls,
    table: TableView,
    is_ours: Callable[[MountEntry], bool],
    because: Rung = Rung.DETACHED_HUNG,
    step_deadline_s: float = STEP_DEADLINE_S,
) -> UnmountResult:
    """
    Detach the dead or hung mount of ours at *mount_point* lazily, and with it our mounts on it, in one call.

    Under a hung parent an unmount of a child hangs too, so the children are not unmounted one by one.

    Raises:
        BusyError: mounts that are not ours lie on it; they are named.
        UnmountError: it is covered by another mount, or would not go.
    """
    ladder = _Ladder(walker, table, is_ours, busy_wait_s=0.0, step_deadline_s=step_deadline_s)
    return await ladder.climb(mount_point, partial(ladder.detach_with_ours, because=because))


async def abort_connection(entry: MountEntry, *, walker: AbortCall) -> None:
    """
    Abort the FUSE connection behind *entry*: whoever waits for its client gets an error, and the mount is dead.

    Source:
        Linux, Documentation/filesystems/fuse.rst: "control filesystem"; a connection's number is the device's
        (major and minor as the kernel packs them; the major is 0 but for fuseblk).
    """
    major, _, minor = entry.device.partition(":")
    await walker.abort(str(int(major) << 20 | int(minor)))


class _Ladder:
    """The rungs, and who was met on them."""

    def __init__(
        self,
        walker: UnmountCalls,
        table: TableView,
        is_ours: Callable[[MountEntry], bool],
        *,
        busy_wait_s: float,
        step_deadline_s: float,
        on_busy: Callable[[tuple[Holder, ...]], None] = lambda holders: None,
    ) -> None:
        self._walker = walker
        self._table = table
        self._is_ours = is_ours
        self._busy_wait_s = busy_wait_s
        self._deadline_s = step_deadline_s
        self._on_busy = on_busy
        self._holders: tuple[Holder, ...] = ()

    async def climb(self, mount_point: str, take: Callable[[MountEntry], Awaitable[Rung]]) -> UnmountResult:
        """
        Have *take* take each layer of ours, the topmost first, until the mount table shows none.

        What comes back meanwhile looks the same: the kernel gives id and device of the old mount to the new one.
        """
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        rung = Rung.ABSENT
        for layers in range(_LAYERS_AT_MOST):
            table = self._table.refresh()
            if not any(self._is_ours(entry) for entry in table.at(mount_point)):
                return UnmountResult(rung, self._holders, (loop.time() - started_s) * 1000, layers)
            top = table.top_at(mount_point) or table.holding(mount_point)
            if top.mount_point != mount_point or not self._is_ours(top):
                raise UnmountError(
                    f"cannot unmount {mount_point!r}: a {top.fs_type} mount of {top.source!r} at {top.mount_point!r} "
                    "covers it",
                    code=ErrorCode.OCCUPIED,
                )
            rung = max(rung, await take(top))
        raise UnmountError(f"cannot unmount {mount_point!r}: it was mounted again {_LAYERS_AT_MOST} times meanwhile")

    async def take(self, entry: MountEntry) -> Rung:
        """Ask; how the kernel refuses says which rung is next."""
        try:
            await self._walker.unmount(entry.mount_point, entry.mount_id, deadline_s=self._deadline_s)
        except NotMountedError:
            return Rung.NORMAL  # somebody else was faster
        except HungError:
            return Rung.NORMAL if self._is_gone(entry) else await self._detach(entry, Rung.DETACHED_HUNG)
        except BusyError:
            return await self._take_busy(entry)
        except PathError as exc:
            if liveness_of(exc.errno) is not Liveness.DEAD:
                raise
            return await self._detach(entry, Rung.DETACHED_DEAD)
        return Rung.NORMAL

    async def detach_with_ours(self, entry: MountEntry, *, because: Rung) -> Rung:
        """Detach *entry* and all that lies on it, if all of that is ours."""
        self._refuse_to_take_along(
            [upon for upon in self._table.refresh().upon(entry) if not self._is_ours(upon)], entry
        )
        await self._detach_now(entry)
        return because

    async def _take_busy(self, entry: MountEntry) -> Rung:
        match await self._walker.probe(entry.mount_point, deadline_s=self._deadline_s, mount_id=entry.mount_id):
            case Liveness.DEAD:
                return await self._detach(entry, Rung.DETACHED_DEAD)
            case Liveness.HUNG:
                return await self._detach(entry, Rung.DETACHED_HUNG)
            case Liveness.ALIVE:
                self._holders = await self._find_holders(entry)
                self._on_busy(self._holders)
                if await self._is_let_go(entry):
                    return Rung.WAITED
                self._holders = await self._find_holders(entry)
                return await self._detach(entry, Rung.DETACHED_BUSY)
            case liveness:
                assert_never(liveness)

    async def _is_let_go(self, entry: MountEntry) -> bool:
        """Retry a plain unmount until the wait is over: when what lies on *entry* changes, or after a growing delay."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._busy_wait_s
        retry_s = _FIRST_RETRY_S
        while (left_s := deadline_s - loop.time()) > 0:
            upon = self._table.refresh().upon(entry)

            def changed(table: MountTable, upon: tuple[MountEntry, ...] = upon) -> bool | None:
                return not _shows(table, entry) or table.upon(entry) != upon or None

            with suppress(TimeoutError):
                await self._table.wait_for(changed, deadline_s=min(retry_s, left_s))
            try:
                await self._walker.unmount(entry.mount_point, entry.mount_id, deadline_s=self._deadline_s)
            except NotMountedError:
                return True
            except BusyError:
                retry_s = min(retry_s * 2, _LONGEST_RETRY_S)
            except HungError:
                return self._is_gone(entry)
            else:
                return True
        return False

    async def _detach(self, entry: MountEntry, rung: Rung) -> Rung:
        self._refuse_to_take_along(self._table.refresh().upon(entry), entry)
        await self._detach_now(entry)
        return rung

    async def _detach_now(self, entry: MountEntry) -> None:
        try:
            await self._walker.unmount(
                entry.mount_point, entry.mount_id, UnmountMode.DETACH, deadline_s=self._deadline_s
            )
        except NotMountedError:
            return
        except HungError:
            if not self._is_gone(entry):
                raise

    def _refuse_to_take_along(self, upon: Sequence[MountEntry], entry: MountEntry) -> None:
        if upon:
            points = sorted({other.mount_point for other in upon})
            raise BusyError(
                f"cannot unmount {entry.mount_point!r}: other mounts lie on it ({', '.join(map(repr, points))})",
                detail="\n".join(points),
            )

    async def _find_holders(self, entry: MountEntry) -> tuple[Holder, ...]:
        """Name the holders, or nobody: not knowing them must not keep the mount."""
        try:
            return await self._walker.open_holders(entry.mount_point, deadline_s=self._deadline_s)
        except MountError:
            return ()

    def _is_gone(self, entry: MountEntry) -> bool:
        return not _shows(self._table.refresh(), entry)


def _shows(table: MountTable, entry: MountEntry) -> bool:
    """Say whether this very mount is in *table*; its options may have changed, its id may serve another by now."""
    found = table.find(entry.mount_id)
    return found is not None and (found.device, found.root, found.mount_point) == (
        entry.device,
        entry.root,
        entry.mount_point,
    )
