"""Take one share down: uploads stored, unmounted, its client gone, its files and our directories removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from agent.actual import LiveMount, Stage
from agent.drivers.base import PendingUploads
from agent.mounts import places
from agent.mounts.drain import drain
from agent.mounts.end_client import end_client, end_stragglers, free_waiters
from agent.mounts.facts import Holder, PathKind, describe_holders
from agent.mounts.liveness import Liveness, liveness_of
from agent.mounts.mountinfo import MountEntry
from agent.mounts.ownership import belongs_to, find_entry
from agent.mounts.parts import Parts
from agent.mounts.unmount import Rung, UnmountResult, detach_subtree, unmount
from agent.supervise.process import ClientProcess
from weft.errors import BusyError, HungError, MountError, PathError, UnmountError

_log = structlog.get_logger(__name__)

_TRIES = 16
"""Each looks up anew where the mount is."""


@dataclass(frozen=True, slots=True)
class TakenDown:
    """
    How a share went.

    Attributes:
        live: Its record now: stage ``DOWN``, with those of our directories that could not be removed.
        unmounted: What the unmount took.
        pending: Uploads that were not stored when it went; None where the client could not be asked.
    """

    live: LiveMount
    unmounted: UnmountResult
    pending: PendingUploads | None


async def take_down(
    live: LiveMount,
    process: ClientProcess | None,
    *,
    parts: Parts,
    is_drained: bool = False,
    is_hung: bool = False,
) -> TakenDown:
    """
    Take away all that stands of *live*, in whatever state it is.

    Args:
        live: Its record.
        process: Its client, if one is known.
        parts: What to work with.
        is_drained: Whether there is nothing to wait for: no upload, no holder (a start that is undone).
        is_hung: Whether its mount is known not to answer, so that it need not be asked.

    Returns:
        How it went; the share stays remembered as ``DOWN`` until the caller forgets it.

    Raises:
        BusyError: other mounts lie on it.
        MountError: it, or its client, would not go; the record says ``STOPPING``.
    """
    live = parts.record(msgspec.structs.replace(parts.live.find_live(live.share_id) or live, stage=Stage.STOPPING))
    live = await _recognise_renamed(live, parts)
    is_stopped = process is not None and process.is_stopped
    pending: PendingUploads | None = PendingUploads(files=0)
    if not is_drained:
        pending = await drain(live, process, parts=parts, is_hung=is_hung)
    entry = find_entry(live, parts.table.refresh(), boot_id=parts.boot_id)
    unmounted = await _unmount(live, process, parts, is_patient=not is_drained, is_hung=is_hung or is_stopped)
    _remark_end(live, unmounted, parts)
    if unmounted.rung is Rung.DETACHED_HUNG:
        await free_waiters(entry, parts)
    if process is not None:
        await end_client(live, process, unmounted.rung, entry, parts)
    await end_stragglers(live, parts)
    await _unmount(live, process, parts, is_patient=False)  # a client or helper stopped halfway may have mounted since
    places.remove_private(Path(live.private_dir))
    left = await _remove_directories(live, parts)
    _tell(live, unmounted, pending)
    down = msgspec.structs.replace(live, stage=Stage.DOWN, process=None, mount_id=0, made_directories=left)
    return TakenDown(parts.record(down), unmounted, pending)


# --- the mount ----------------------------------------------------------------------------------------------------


async def _recognise_renamed(live: LiveMount, parts: Parts) -> LiveMount:
    """
    Know a bind again whose source was renamed, as its owner may at any moment: then its root is not asked for.

    Raises:
        MountError: it cannot be looked at; it may be ours, so nobody may say that it is gone.
    """
    entry = parts.table.refresh().find(live.mount_id)
    is_like_it = entry is not None and (entry.device, entry.source) == (live.device, live.source)
    if entry is None or not is_like_it or not live.root_inode or live.boot_id != parts.boot_id:
        return live
    try:
        found = await parts.walker.find_root_inode(entry.mount_point, entry.mount_id, deadline_s=parts.limits.probe_s)
    except (PathError, HungError) as exc:
        is_silent = isinstance(exc, HungError) or liveness_of(exc.errno) is Liveness.DEAD
        if is_silent and entry.root == live.root:
            return live  # who serves what it shows is dead or hangs, and it has the name that it had
        raise
    return msgspec.structs.replace(live, root="") if found == live.root_inode else live


async def _unmount(
    live: LiveMount, process: ClientProcess | None, parts: Parts, *, is_patient: bool, is_hung: bool = False
) -> UnmountResult:
    """Climb the ladder for wherever it is: who owns a directory above may rename that at any moment."""
    done = UnmountResult(Rung.ABSENT, (), 0.0, 0)
    for _ in range(_TRIES):
        entry = find_entry(live, parts.table.refresh(), boot_id=parts.boot_id)
        if entry is None:
            return done
        taken = await _unmount_at(entry, live, process, parts, is_patient=is_patient, is_hung=is_hung)
        done = max(done, taken, key=lambda result: result.rung)
    raise UnmountError(f"cannot unmount share {live.share_id!r}: it is moved to another path again and again")


async def _unmount_at(
    entry: MountEntry,
    live: LiveMount,
    process: ClientProcess | None,
    parts: Parts,
    *,
    is_patient: bool,
    is_hung: bool,
) -> UnmountResult:
    """Climb the ladder; under a dead or hung parent all that is ours goes in one call."""
    because = Rung.DETACHED_HUNG if is_hung else await _why_not_asked(entry, process, parts)
    if because is not None:
        return await detach_subtree(
            entry.mount_point, walker=parts.walker, table=parts.table, is_ours=parts.is_ours, because=because
        )
    return await unmount(
        entry.mount_point,
        walker=parts.walker,
        table=parts.table,
        is_ours=_is_of(live, parts),
        busy_wait_s=parts.limits.busy_s if is_patient else 0.0,
        on_busy=lambda holders: _remark_busy(live, holders, parts),
    )


def _remark_busy(live: LiveMount, holders: Sequence[Holder], parts: Parts) -> None:
    names = ", ".join(sorted({f"{holder.command} (pid {holder.pid})" for holder in holders})[:3]) or "nobody we can see"
    message = f"share {live.share_id!r} is in use by {names}; it goes when they let go, or in {parts.limits.busy_s:g} s"
    parts.remark(live.share_id, BusyError(message, detail=describe_holders(holders)))


def _remark_end(live: LiveMount, unmounted: UnmountResult, parts: Parts) -> None:
    """Say of a mount that was busy how it went in the end."""
    if unmounted.rung is Rung.WAITED:
        parts.remark(live.share_id, None)
    elif unmounted.rung is Rung.DETACHED_BUSY:
        message = f"share {live.share_id!r} was detached while in use; who holds it keeps the old one until it lets go"
        parts.remark(live.share_id, BusyError(message, detail=describe_holders(unmounted.holders)))


async def _why_not_asked(entry: MountEntry, process: ClientProcess | None, parts: Parts) -> Rung | None:
    """Say why a mount must be detached without being asked to go; None where it can be asked."""
    if process is not None and process.has_exited:
        return Rung.DETACHED_DEAD
    upon = parts.table.current.upon(entry)
    if not upon:
        return None
    match await parts.walker.probe(entry.mount_point, deadline_s=parts.limits.probe_s, mount_id=entry.mount_id):
        case Liveness.DEAD:
            return Rung.DETACHED_DEAD
        case Liveness.HUNG:
            return Rung.DETACHED_HUNG
        case Liveness.ALIVE:
            points = sorted({other.mount_point for other in upon})
            raise BusyError(
                f"cannot unmount {entry.mount_point!r}: other mounts lie on it ({', '.join(map(repr, points))})",
                detail="\n".join(points),
            )


def _is_of(live: LiveMount, parts: Parts) -> Callable[[MountEntry], bool]:
    return lambda entry: belongs_to(entry, live, boot_id=parts.boot_id)


# --- what is left -------------------------------------------------------------------------------------------------


async def _remove_directories(live: LiveMount, parts: Parts) -> tuple[str, ...]:
    """
    Remove what we made, innermost first, as far as it is empty.

    Returns:
        Those that stay. One that leads to another share's mount point becomes that share's to remove.
    """
    kept: list[str] = []
    tried: set[str] = set()
    while left := [path for path in _made_directories(live, parts) if path not in tried]:
        directory = left[-1]
        tried.add(directory)
        if await _is_gone(directory, parts):
            continue
        heir = next((other for other in parts.live.live() if _inherits(other, directory, live)), None)
        if heir is None:
            if not await _is_gone(directory, parts):  # whoever had something in it may have left this moment
                kept.append(directory)
        elif directory not in heir.made_directories:
            made = tuple(sorted((directory, *heir.made_directories), key=len))
            parts.record(msgspec.structs.replace(heir, made_directories=made))
    return tuple(sorted(kept, key=len))


def _made_directories(live: LiveMount, parts: Parts) -> tuple[str, ...]:
    """Look again each time: a share that leaves at the same moment may make us its heir."""
    return (parts.live.find_live(live.share_id) or live).made_directories


async def _is_gone(directory: str, parts: Parts) -> bool:
    """Remove *directory*, if it is still there; one that is refused or below something sick stays: it is only empty."""
    try:
        if await parts.walker.remove_directory(directory):
            return True
        return (await parts.walker.inspect(directory, ())).kind is PathKind.MISSING
    except MountError:
        return False


def _inherits(other: LiveMount, directory: str, live: LiveMount) -> bool:
    return other.share_id != live.share_id and other.real_path.startswith(directory + "/")


def _tell(live: LiveMount, unmounted: UnmountResult, pending: PendingUploads | None) -> None:
    if unmounted.rung is Rung.ABSENT:
        return
    is_gentle = unmounted.rung in (Rung.NORMAL, Rung.WAITED) and pending is not None and pending.files == 0
    # That it is gone says whoever asked for it; here only how, which matters where force or data loss was part of it.
    (_log.debug if is_gentle else _log.warning)(
        "unmount.applied",
        share=live.share_id,
        mount_point=live.mount_point,
        took_ms=round(unmounted.took_ms, 1),
        step=unmounted.rung.name.lower(),
        holders=describe_holders(unmounted.holders),
        pending=None if pending is None else pending.files,
    )
