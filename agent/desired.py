"""What this guest should have: the held state, and the gate that says what an arriving message makes of it."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from weft.errors import ErrorCode
from weft.wire.codec import Message
from weft.wire.digest import set_digest, share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import MAX_SHARES, CatalogMark, MountSet, RejectedShare
from weft.wire.share import Action, ShareMount

DAY_MS = 24 * 3600 * 1000
MAX_DISMISSED = 1000
"""Ids remembered as told to go; a fleet that is driven by single messages alone would collect them for ever."""


class Origin(enum.StrEnum):
    """How a share came to be wanted; decides which lists may take it away by leaving it out."""

    SET = "set"
    SINGLE = "single"
    BOOT = "boot"


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """The broker's place for a stored message; orders messages that carry no revision."""

    time_ns: int
    stream_seq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One wanted share; the digest is kept so that a plan need not compute it."""

    share: ShareMount
    origin: Origin
    digest: str

    @classmethod
    def of(cls, share: ShareMount, origin: Origin) -> Entry:
        """Build the entry of *share*."""
        return cls(share, origin, share_digest(share))


@dataclass(frozen=True, slots=True)
class Desired:
    """
    Everything the guest has accepted.

    Attributes:
        vm: The guest's own id.
        revision: Of the last accepted list, 0 for none.
        content: Digest of that list as it arrived.
        catalog: The catalog it was computed from.
        shares: What is wanted, by id.
        rejected: Elements of that list that cannot be used; what their ids have mounted stays.
        unusable: Ids of those elements that no other element of the list stands for.
        is_complete: Whether that list named every id, so that an id which nobody wants is truly unwanted.
        dismissed: Ids told to go by name and not wanted since, oldest first.
        last_stamp: Of the last accepted message; a single share that is not newer is a copy of the past.
    """

    vm: VmId
    revision: int = 0
    content: str = ""
    catalog: CatalogMark | None = None
    shares: Mapping[ShareId, Entry] = field(default_factory=dict)
    rejected: tuple[RejectedShare, ...] = ()
    unusable: frozenset[ShareId] = frozenset()
    is_complete: bool = False
    dismissed: tuple[ShareId, ...] = ()
    last_stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """*desired* is to be held from now on; *changed* are the ids that came, changed or went."""

    desired: Desired
    changed: frozenset[ShareId]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The message says what is held already."""


@dataclass(frozen=True, slots=True)
class Stale:
    """The message is older than what is held; *is_old_copy* when it was held before, as a lagging replica serves it."""

    revision: int
    held_revision: int
    is_old_copy: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """The held revision arrived with other content."""

    revision: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The message cannot be meant for this guest now; *reason* is one sentence."""

    reason: str
    code: ErrorCode = ErrorCode.BAD_SPEC


Verdict = Accepted | Unchanged | Stale | Conflict | Refused


def accept(
    desired: Desired, message: Message, stamp: Stamp | None, *, now_ms: int, max_shares: int = MAX_SHARES
) -> Verdict:
    """
    Say what *message* makes of *desired*.

    Args:
        desired: What is held.
        message: What arrived.
        stamp: The broker's place for it, None for a message that was not stored (core mode).
        now_ms: The guest's clock, in milliseconds since the epoch.
        max_shares: How many shares may be held; what would make them more is refused. A guest that holds more already,
            since the limit was lowered, keeps them.
    """
    match message:
        case MountSet():
            verdict = _accept_set(desired, message, stamp, now_ms=now_ms)
            subject = f"revision {message.revision}"
        case ShareMount():
            verdict = _accept_single(desired, message, stamp)
            subject = f"share {message.id!r}"
    return _within(max_shares, verdict, desired, subject)


def _within(max_shares: int, verdict: Verdict, before: Desired, subject: str) -> Verdict:
    """Refuse to hold too many shares: lists that leave doubt, singles and the boot file add to what is there."""
    if not isinstance(verdict, Accepted):
        return verdict
    count = len(verdict.desired.shares)
    if count <= max(max_shares, len(before.shares)):
        return verdict
    return Refused(
        f"cannot accept {subject}: {count} shares would be held then, and this guest takes {max_shares}; "
        "unpublish some, or raise max_shares in its /etc/weft/agent.toml"
    )


def accept_boot(
    desired: Desired, shares: Iterable[ShareMount], *, is_complete: bool, max_shares: int = MAX_SHARES
) -> Verdict:
    """
    Add the shares of the boot file; an id that the stream knows, or dismissed, is the stream's.

    Args:
        desired: What is held.
        shares: What the file has, in order; the first of several with one id counts.
        is_complete: Whether every element can be used; only then a boot share that left the file goes.
        max_shares: As for :func:`accept`.
    """
    listed: dict[ShareId, ShareMount] = {}
    for share in shares:
        if not share.is_unmount and share.share_id not in desired.dismissed:
            listed.setdefault(share.share_id, share)
    kept = {
        share_id: entry
        for share_id, entry in desired.shares.items()
        if entry.origin is not Origin.BOOT or (share_id not in listed and not is_complete)
    }
    wanted = {share_id: Entry.of(share, Origin.BOOT) for share_id, share in listed.items()} | kept
    changed = _difference(desired.shares, wanted)
    accepted = Accepted(replace(desired, shares=wanted), changed) if changed else Unchanged()
    return _within(max_shares, accepted, desired, "the boot file")


def dismissals(message: Message) -> tuple[ShareMount, ...]:
    """
    Return what *message* tells to go by name, as unmounts, deepest mount points first.

    A list with an element whose id cannot be read tells nothing to go.
    """
    match message:
        case ShareMount():
            return (message,) if message.is_unmount else ()
        case MountSet():
            named = {share_id: ShareMount(id=share_id, action=Action.UNMOUNT) for share_id in message.gone}
            if message.changed is not None and message.changed.is_unmount:
                named[message.changed.id] = message.changed
            listed = {share.id for share in message.shares}
            leaving = [share for share in named.values() if share.id not in listed and message.is_complete]
            return tuple(sorted(leaving, key=lambda share: share.mount_point, reverse=True))


def _accept_set(desired: Desired, message: MountSet, stamp: Stamp | None, *, now_ms: int) -> Verdict:
    if message.vm != desired.vm:
        return Refused(
            f"cannot accept revision {message.revision}: it is for VM {message.vm!r}, this is {desired.vm!r}"
        )
    if message.revision < desired.revision:
        return Stale(message.revision, desired.revision, is_old_copy=_is_old(desired, stamp))
    content = _content(message)
    if message.revision == desired.revision:
        return Unchanged() if content == desired.content else Conflict(message.revision)
    clock_ms = max(now_ms, stamp.time_ns // 1_000_000 if stamp else now_ms)
    if message.revision > clock_ms + DAY_MS:
        return Refused(
            f"cannot accept revision {message.revision}: it is more than a day ahead of this guest and the broker"
        )
    listed = {share.share_id: Entry.of(share, Origin.SET) for share in message.shares}
    told_to_go = {share.share_id for share in dismissals(message)}
    unusable = frozenset(ShareId(element.id) for element in message.rejected if element.id is not None) - listed.keys()
    survivors = {
        share_id: entry
        for share_id, entry in desired.shares.items()
        if share_id in unusable
        or not message.is_complete
        or (entry.origin is not Origin.SET and share_id not in told_to_go)
    }
    wanted = survivors | listed
    return Accepted(
        replace(
            desired,
            revision=message.revision,
            content=content,
            catalog=message.catalog,
            shares=wanted,
            rejected=message.rejected,
            unusable=unusable,
            is_complete=message.is_complete,
            dismissed=_dismissed(desired, told_to_go, wanted.keys()),
            last_stamp=stamp or desired.last_stamp,
        ),
        _difference(desired.shares, wanted),
    )


def _accept_single(desired: Desired, share: ShareMount, stamp: Stamp | None) -> Verdict:
    vm = share.extra.get("vm", desired.vm)
    if vm != desired.vm:
        return Refused(f"cannot accept share {share.id!r}: it is for VM {vm!r}, this is {desired.vm!r}")
    if stamp is not None and stamp == desired.last_stamp:
        return Unchanged()
    if _is_old(desired, stamp):
        return Stale(0, desired.revision, is_old_copy=True)
    wanted = dict(desired.shares)
    told_to_go: set[ShareId] = set()
    if share.is_unmount:
        wanted.pop(share.share_id, None)
        told_to_go = {share.share_id}
    else:
        wanted[share.share_id] = Entry.of(share, Origin.SINGLE)
    after = replace(
        desired,
        shares=wanted,
        rejected=tuple(element for element in desired.rejected if element.id != share.id),
        unusable=desired.unusable - {share.share_id},
        dismissed=_dismissed(desired, told_to_go, wanted.keys()),
        last_stamp=stamp or desired.last_stamp,
    )
    return Unchanged() if after == desired else Accepted(after, _difference(desired.shares, wanted) | told_to_go)


def _is_old(desired: Desired, stamp: Stamp | None) -> bool:
    return stamp is not None and desired.last_stamp is not None and stamp <= desired.last_stamp


def _dismissed(desired: Desired, told_to_go: set[ShareId], wanted: Iterable[ShareId]) -> tuple[ShareId, ...]:
    ids = dict.fromkeys((*desired.dismissed, *sorted(told_to_go)))
    for share_id in wanted:
        ids.pop(share_id, None)
    return tuple(ids)[-MAX_DISMISSED:]


def _difference(before: Mapping[ShareId, Entry], after: Mapping[ShareId, Entry]) -> frozenset[ShareId]:
    return frozenset(
        share_id
        for share_id in before.keys() | after.keys()
        if share_id not in before or share_id not in after or before[share_id].share != after[share_id].share
    )


def _content(message: MountSet) -> str:
    content = set_digest(message.shares, message.gone)
    if not message.rejected:
        return content
    return hashlib.sha256(content.encode() + msgspec.json.encode(message.rejected)).hexdigest()[:16]
