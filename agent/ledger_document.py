"""
The ledger's two documents as text (pure): each part is read by itself, so that damage costs what it hit and no more.

Each share and each mount has a check, and so has what stands around the shares: a flipped bit in a mount point would
otherwise be an order to take the mount away. Documents of agents that wrote no checks are read as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

import msgspec

from agent.actual import LiveMount
from agent.desired import Desired, Entry, Origin, Stamp
from weft.errors import DecodeError, LedgerCorruptError, LedgerTooNewError, SubjectError
from weft.wire.ids import ShareId, VmId, parse_share_id
from weft.wire.mountset import CatalogMark, RejectedShare
from weft.wire.share import parse_share, share_to_builtins
from weft.wire.tolerant import from_builtins, to_builtins

SCHEMA = 1
_LAST_SCHEMA = 1000
"""Schemas are counted; a number far above the known ones is damage, not the future."""

T = TypeVar("T")
_Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Held:
    """What the ledger keeps beside live mounts: the desired state, and ids an administrator keeps away."""

    desired: Desired
    held: frozenset[ShareId] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """What could be read of the desired state, and one sentence for each part that could not."""

    held: Held
    damages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveDocument:
    """How often the file had been written (0 by older agents), what it has, and what could not be read."""

    number: int = 0
    mounts: tuple[LiveMount, ...] = ()
    damages: tuple[str, ...] = ()


# --- the desired state ----------------------------------------------------------------------------------------------


def encode_held(held: Held, vm: VmId) -> bytes:
    """Write the desired state."""
    desired, stamp = held.desired, held.desired.last_stamp
    shares = [
        _encode({"origin": entry.origin, "share": share_to_builtins(entry.share)}) for entry in desired.shares.values()
    ]
    around = {
        "revision": desired.revision,
        "content": desired.content,
        "catalog": to_builtins(desired.catalog) if desired.catalog else None,
        "rejected": desired.rejected,
        "unusable": sorted(desired.unusable),
        "is_complete": desired.is_complete,
        "dismissed": desired.dismissed,
        "last_stamp": [stamp.time_ns, stamp.stream_seq] if stamp else None,
        "checks": [_check(share) for share in shares],
    }
    fields = {name: _encode(value) for name, value in around.items()}
    names = _encode(sorted(held.held))
    document = {"check": _check_around(fields, names), **fields, "shares": shares}
    return msgspec.json.encode({"schema": SCHEMA, "vm": vm, "held": names, "desired": document})


def parse_held(data: bytes, vm: VmId) -> HeldDocument:
    """
    Read the desired state.

    Where a share is lost, the list is not complete any more, so that nothing goes for not being in it, and it counts
    as older than it was: the stream's message is accepted again. Where what stands around the shares is doubtful,
    nothing is known of any message, and the shares alone are kept.

    Args:
        data: The file.
        vm: The guest's own id.

    Raises:
        LedgerCorruptError: Nothing of it can be used.
        LedgerTooNewError: A newer agent wrote it.
    """
    document = _parse_frame(data, vm)
    doubts: list[str] = []
    fields = _part(document, "desired", dict[str, msgspec.Raw], None, doubts)
    if fields is None:
        raise LedgerCorruptError(doubts[0])
    held = _parse_ids(document, "held", doubts)
    around = _parse_around(fields, vm, doubts)
    check = _part(fields, "check", str, "", doubts) if "check" in fields else None
    if check is not None and check != _check_around(fields, document.get("held")):
        doubts.append("what stands around the shares is not what was written")
    lost: list[str] = []
    shares = _parse_entries(fields, has_checks=check is not None, doubts=doubts, lost=lost)
    desired = replace(around, shares=shares)
    if doubts and not shares and not held:
        raise LedgerCorruptError(doubts[0])
    if doubts:
        desired = Desired(vm, shares=shares)
    elif lost:
        desired = _without_what_is_lost(desired)
    return HeldDocument(Held(desired, held), (*doubts, *lost))


def _parse_around(fields: Mapping[str, msgspec.Raw], vm: VmId, doubts: list[str]) -> Desired:
    catalog = _part(fields, "catalog", dict[str, Any] | None, None, doubts)
    stamp = _part(fields, "last_stamp", tuple[_Natural, _Natural] | None, None, doubts)
    dismissed: tuple[ShareId, ...] = _part(fields, "dismissed", tuple[str, ...], (), doubts)
    mark = None
    if catalog is not None:
        try:
            mark = from_builtins(CatalogMark, catalog, what="catalog")
        except DecodeError as exc:
            doubts.append(exc.reason)
    return Desired(
        vm,
        revision=_part(fields, "revision", _Natural, 0, doubts),
        content=_part(fields, "content", str, "", doubts),
        catalog=mark,
        rejected=_part(fields, "rejected", tuple[RejectedShare, ...], (), doubts),
        unusable=_parse_ids(fields, "unusable", doubts),
        is_complete=_part(fields, "is_complete", bool, False, doubts),
        dismissed=dismissed,
        last_stamp=Stamp(*stamp) if stamp is not None else None,
    )


def _parse_entries(
    fields: Mapping[str, msgspec.Raw], *, has_checks: bool, doubts: list[str], lost: list[str]
) -> dict[ShareId, Entry]:
    elements: list[msgspec.Raw] = _part(fields, "shares", list[msgspec.Raw], [], doubts)
    checks: list[str] = _part(fields, "checks", list[str], [], doubts) if has_checks else []
    is_checked = has_checks and len(checks) == len(elements)
    if has_checks and not is_checked:
        lost.append(f"shares: there are {len(elements)} of them, and {len(checks)} checks")
    entries: dict[ShareId, Entry] = {}
    for index, element in enumerate(elements):
        try:
            if is_checked and _check(element) != checks[index]:
                raise LedgerCorruptError("it is not what was written")
            entry = _parse_entry(element)
            if entry.share.share_id in entries:
                raise LedgerCorruptError(f"id {entry.share.id!r} stands twice")
        except (DecodeError, LedgerCorruptError, *_MALFORMED) as exc:
            lost.append(f"shares[{index}]: {exc}")
        else:
            entries[entry.share.share_id] = entry
    return entries


class _Element(msgspec.Struct, frozen=True):
    origin: Origin
    share: msgspec.Raw


def _parse_entry(element: msgspec.Raw) -> Entry:
    found = msgspec.json.decode(element, type=_Element)
    return Entry.of(parse_share(msgspec.json.decode(found.share)), found.origin)


def _without_what_is_lost(desired: Desired) -> Desired:
    stamp = desired.last_stamp
    return replace(
        desired,
        revision=max(desired.revision - 1, 0),
        content="",
        is_complete=False,
        last_stamp=replace(stamp, time_ns=stamp.time_ns - 1) if stamp is not None else None,
    )


def _check_around(fields: Mapping[str, msgspec.Raw], held: msgspec.Raw | None) -> str:
    texts = [name.encode() + bytes(fields[name]) for name in sorted(fields) if name not in ("check", "shares")]
    return _check(b"\n".join([bytes(held or b""), *texts]))


# --- what is mounted ------------------------------------------------------------------------------------------------


def encode_mount(mount: LiveMount) -> msgspec.Raw:
    """Encode one record, once for all the times that the file is written because of others."""
    values: dict[str, Any] = {name: getattr(mount, name) for name in mount.__struct_fields__ if name != "share"}
    return _encode(values | {"share": share_to_builtins(mount.share)})


def encode_live(records: Mapping[ShareId, msgspec.Raw], vm: VmId, *, number: int) -> bytes:
    """Write what is mounted; *number* grows with every version."""
    live = list(records.values())
    checks = [_check(record) for record in live]  # apart from the records: an older agent refuses words in them
    return msgspec.json.encode({"schema": SCHEMA, "vm": vm, "number": number, "live": live, "checks": checks})


def parse_live(data: bytes, vm: VmId) -> LiveDocument:
    """
    Read what is mounted, raising as :func:`parse_held` does; the mounts of lost records are found by their sources.
    """
    document = _parse_frame(data, vm)
    damages: list[str] = []
    number = _part(document, "number", _Natural, 0, damages) if "number" in document else 0
    elements: list[msgspec.Raw] = _part(document, "live", list[msgspec.Raw], [], damages)
    has_checks = "checks" in document
    checks: list[str] = _part(document, "checks", list[str], [], damages) if has_checks else []
    is_checked = has_checks and len(checks) == len(elements)
    if has_checks and not is_checked:
        damages.append(f"live: there are {len(elements)} records, and {len(checks)} checks")
    mounts: dict[ShareId, LiveMount] = {}
    for index, element in enumerate(elements):
        try:
            if is_checked and _check(element) != checks[index]:
                raise LedgerCorruptError("it is not what was written")
            mount = _parse_mount(element)
        except (DecodeError, LedgerCorruptError, *_MALFORMED) as exc:
            damages.append(f"live[{index}]: {exc}")
        else:
            mounts[mount.share_id] = mount
    return LiveDocument(number, tuple(mounts.values()), tuple(damages))


def _parse_mount(element: msgspec.Raw) -> LiveMount:
    values = msgspec.json.decode(element, type=dict[str, Any])
    mount = msgspec.convert({**values, "share": parse_share(values.get("share"))}, LiveMount)
    for path in (mount.path, mount.root, mount.private_dir, *mount.made_directories):
        if (path and not path.startswith("/")) or "\0" in path:
            raise LedgerCorruptError("a path in it is none")
    return mount


# --- parts ----------------------------------------------------------------------------------------------------------


def _parse_frame(data: bytes, vm: VmId) -> dict[str, msgspec.Raw]:
    try:
        document = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        schema = msgspec.json.decode(document.get("schema", b""), type=int)
        owner = msgspec.json.decode(document.get("vm", b""), type=str)
    except _MALFORMED as exc:
        raise LedgerCorruptError(f"it is no ledger: {exc}") from exc
    if SCHEMA < schema <= _LAST_SCHEMA:
        raise LedgerTooNewError(
            f"it has schema {schema}, this agent knows {SCHEMA}; "
            "install the newer agent again, or move the file away to start from the stream"
        )
    if schema != SCHEMA:
        raise LedgerCorruptError(f"it is no ledger: there is no schema {schema:.20g}")
    if owner != vm:
        raise LedgerCorruptError(f"it was written for VM {owner[:130]!r}, this is {vm!r}")
    return document


def _part(fields: Mapping[str, msgspec.Raw], name: str, kind: Any, default: T, damages: list[str]) -> T:
    """Read one field; *default* where it cannot be read, which is noted."""
    if name not in fields:
        damages.append(f"{name} is missing")
        return default
    try:
        value: T = msgspec.json.decode(fields[name], type=kind)
    except _MALFORMED as exc:
        damages.append(f"{name}: {exc}")
        return default
    return value


def _parse_ids(fields: Mapping[str, msgspec.Raw], name: str, damages: list[str]) -> frozenset[ShareId]:
    names: list[str] = _part(fields, name, list[str], [], damages) if name in fields else []
    try:
        return frozenset(parse_share_id(each) for each in names)
    except SubjectError as exc:
        damages.append(f"{name}: {exc}")
        return frozenset()


def _encode(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _check(text: bytes | msgspec.Raw) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
