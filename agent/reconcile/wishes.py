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
from weft.wire.route import shadowed_by
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

_ROUNDS = 8
"""What a cycle shadowed counts once it is rejected, and may be a cycle itself. Below the eighth, shares stay
shadowed: no list has that by accident, and each round costs as much as all the rest."""

_NAMED = 5
"""Members of a cycle that are named; each of a thousand would name a thousand."""


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
    for round_left in reversed(range(_ROUNDS)):
        shadowed = shadowed_by(entry.share for entry in counting.values())
        active = {share_id: entry for share_id, entry in counting.items() if share_id not in shadowed}
        bases = _closed(_bases(active))
        members = frozenset(share_id for share_id, on in bases.items() if share_id in on)
        cyclic |= _faults(members)
        if not members or not round_left:
            break
        counting = {share_id: entry for share_id, entry in counting.items() if share_id not in members}
    active = {share_id: entry for share_id, entry in active.items() if share_id not in members}
    bases = {share_id: bases[share_id] - members for share_id in active}
    idle |= dict.fromkeys(shadowed, ShareState.SHADOWED)
    return Wishes(active, idle, cyclic, bases, min(expiries, default=None))


def _faults(members: frozenset[ShareId]) -> dict[ShareId, Fault]:
    named = sorted(members)[:_NAMED]
    names = ", ".join(named) + (f" and {len(members) - len(named)} more" if len(members) > len(named) else "")
    return {
        share_id: Fault(
            ErrorCode.BAD_SPEC, f"cannot mount {share_id!r}: {names} stand on each other", is_permanent=True
        )
        for share_id in members
    }


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


def places_below(share: ShareMount) -> Iterator[str]:
    """Yield every path where a mount would hold up *share*: above its mount point, and at or above its source."""
    yield from ancestors(share.mount_point)
    source = bind_source(share)
    if source is not None:
        yield source
        yield from ancestors(source)


def _bases(active: Mapping[ShareId, Entry]) -> dict[ShareId, frozenset[ShareId]]:
    by_path = {entry.share.mount_point: share_id for share_id, entry in active.items()}
    return {
        share_id: frozenset(by_path[path] for path in places_below(entry.share) if path in by_path)
        for share_id, entry in active.items()
    }


def _closed(bases: Mapping[ShareId, frozenset[ShareId]]) -> dict[ShareId, frozenset[ShareId]]:
    """Follow the relation to its end; a share in a cycle stands on itself then."""
    closed: dict[ShareId, frozenset[ShareId]] = {}
    for start in _from_the_ground_up(bases):
        seen: set[ShareId] = set()
        todo = list(bases[start])
        while todo:
            share_id = todo.pop()
            if share_id in seen:
                continue
            seen.add(share_id)
            if share_id in closed:
                seen |= closed[share_id]
            else:
                todo.extend(bases[share_id])
        closed[start] = frozenset(seen)
    return closed


def _from_the_ground_up(bases: Mapping[ShareId, frozenset[ShareId]]) -> Iterator[ShareId]:
    """Yield every share after those it stands on, as far as there is such an order."""
    begun: set[ShareId] = set()
    for start in bases:
        stack = [(start, iter(bases[start]))] if start not in begun else []
        begun.add(start)
        while stack:
            share_id, below = stack[-1]
            base = next((each for each in below if each not in begun), None)
            if base is None:
                stack.pop()
                yield share_id
            else:
                begun.add(base)
                stack.append((base, iter(bases[base])))
