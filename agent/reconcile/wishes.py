"""What the held state asks for right now: who is to be mounted, who only waits, and who stands on whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.desired import Desired, Entry
from agent.reconcile.phase import Fault
from weft.errors import ErrorCode
from weft.wire.blocks import BindBlock
from weft.wire.ids import ShareId
from weft.wire.paths import is_at_or_below
from weft.wire.route import shadowed_by
from weft.wire.share import ShareMount
from weft.wire.status import ShareState


@dataclass(frozen=True, slots=True)
class Wishes:
    """
    The held state, sorted out for one moment.

    Attributes:
        active: Shares to be mounted.
        idle: Shares that are wanted but must not be mounted now, and why.
        cyclic: Shares that stand on each other; they are left as they are.
        bases: For each active share, those it stands on, directly or not: above its mount point, or holding its source.
        next_expiry: When the first of the shares that still count expires.
    """

    active: Mapping[ShareId, Entry]
    idle: Mapping[ShareId, ShareState]
    cyclic: Mapping[ShareId, Fault]
    bases: Mapping[ShareId, frozenset[ShareId]]
    next_expiry: datetime | None


def build_wishes(desired: Desired, *, held: frozenset[ShareId], utc: datetime) -> Wishes:
    """
    Sort out *desired*.

    Args:
        desired: The held state.
        held: Ids that this guest's administrator keeps away.
        utc: The guest's clock, which decides what has expired.
    """
    idle: dict[ShareId, ShareState] = {}
    counting: dict[ShareId, Entry] = {}
    for share_id, entry in desired.shares.items():
        if entry.share.expires_at is not None and entry.share.expires_at <= utc:
            idle[share_id] = ShareState.EXPIRED
        elif share_id in held:
            idle[share_id] = ShareState.HELD
        else:
            counting[share_id] = entry
    expiries = [entry.share.expires_at for entry in counting.values() if entry.share.expires_at is not None]
    cyclic: dict[ShareId, Fault] = {}
    while True:
        shadowed = shadowed_by(entry.share for entry in counting.values())
        active = {share_id: entry for share_id, entry in counting.items() if share_id not in shadowed}
        bases = _closed(_bases(active))
        members = frozenset(share_id for share_id, on in bases.items() if share_id in on)
        if not members:
            break
        names = ", ".join(sorted(members))
        for share_id in members:
            del counting[share_id]
            cyclic[share_id] = Fault(
                ErrorCode.BAD_SPEC, f"cannot mount {share_id!r}: {names} stand on each other", is_permanent=True
            )
    idle |= dict.fromkeys(shadowed, ShareState.SHADOWED)
    return Wishes(active, idle, cyclic, bases, min(expiries, default=None))


def ancestors(path: str) -> Iterator[str]:
    """Yield every directory strictly above *path*, nearest first, without the root."""
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


def bind_source(share: ShareMount) -> str | None:
    """Return the directory of the guest that *share* shows elsewhere, None for any other backend."""
    if share.is_unmount:
        return None
    block = share.block
    return block.source.rstrip("/") or "/" if isinstance(block, BindBlock) else None


def stands_on(share: ShareMount, mount_point: str) -> bool:
    """Say whether *share*'s mount is reached through, or shows a part of, what is mounted at *mount_point*."""
    if share.mount_point != mount_point and is_at_or_below(share.mount_point, mount_point):
        return True
    source = bind_source(share)
    return source is not None and is_at_or_below(source, mount_point)


def _bases(active: Mapping[ShareId, Entry]) -> dict[ShareId, frozenset[ShareId]]:
    by_path = {entry.share.mount_point: share_id for share_id, entry in active.items()}
    bases: dict[ShareId, frozenset[ShareId]] = {}
    for share_id, entry in active.items():
        on = {by_path[path] for path in ancestors(entry.share.mount_point) if path in by_path}
        source = bind_source(entry.share)
        if source is not None:
            on |= {by_path[path] for path in (source, *ancestors(source)) if path in by_path}
        bases[share_id] = frozenset(on)
    return bases


def _closed(bases: Mapping[ShareId, frozenset[ShareId]]) -> dict[ShareId, frozenset[ShareId]]:
    """Follow the relation to its end; a share in a cycle stands on itself then."""
    closed: dict[ShareId, frozenset[ShareId]] = {}
    for start in bases:
        seen: set[ShareId] = set()
        todo = list(bases[start])
        while todo:
            share_id = todo.pop()
            if share_id not in seen:
                seen.add(share_id)
                todo.extend(bases[share_id])
        closed[start] = frozenset(seen)
    return closed
