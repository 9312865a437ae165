"""The catalog in its bucket: read completely as of what its leader has, and changed only where nobody else did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from controlplane.batch import STORAGE_FULL, STREAM_FULL, Refused, Stored, Unknown, Unsent, why_refused
from controlplane.identity import IDENTITY_KEY, Identity, decode_identity
from controlplane.ingest import Outgoing, max_data_bytes, store
from controlplane.jetstream import WRONG_LAST_SEQUENCE, last_message
from controlplane.reader import Reading, read_complete
from controlplane.records import CatalogSnapshot, Edit, RemoteRecord, ShareRecord, decode_record, decode_remote
from controlplane.stored import StoredMessage
from weft.errors import (
    BrokerError,
    BrokerUnreachableError,
    CatalogConflictError,
    CatalogError,
    DecodeError,
    PayloadTooLargeError,
    StreamFullError,
    SubjectError,
)
from weft.link import Link
from weft.wire.codec import decode_object
from weft.wire.ids import (
    ClassName,
    RemoteName,
    ShareId,
    VmId,
    parse_class_name,
    parse_remote_name,
    parse_share_id,
    parse_vm_id,
)
from weft.wire.subjects import CATALOG_PREFIX, CATALOG_STREAM

EVERYTHING = CATALOG_PREFIX + ">"
KV_OPERATION = "KV-Operation"


class _Decoded(NamedTuple):
    message: StoredMessage
    record: ShareRecord | None
    problem: str


class Catalog:
    """
    The bucket over a link; it remembers what it read, so that a second reading costs only what changed.

    Args:
        link: Connected whenever a method is called.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reading: Reading | None = None
        self._ahead_s = 0.0
        self._decoded: dict[str, _Decoded] = {}

    @property
    def clock_ahead_s(self) -> float:
        """How far this machine's clock is ahead of the broker's, as of the last reading; 0 before there was one."""
        return self._ahead_s

    def now_s(self) -> float:
        """Return the broker's time, as a Unix time: guests trust it, and every operator has the same."""
        return time.time() - self._ahead_s

    async def load(self) -> CatalogSnapshot:
        """
        Read the catalog, complete as of the leader's ``last_seq`` at this moment.

        Raises:
            StreamMissingError: There is no bucket.
            CatalogError: The bucket has no identity: it was not made by ``weft init``.
            BrokerError: It could not be read.
        """
        reading = await read_complete(self._link, CATALOG_STREAM, EVERYTHING, after=self._reading)
        self._reading = reading
        self._ahead_s = time.time() - reading.facts.now_s
        snapshot = self._build(reading)
        if not snapshot.id:
            raise CatalogError("cannot use the catalog: it has no identity (run 'weft init' to give it one)")
        return snapshot

    async def write(self, edits: Sequence[Edit], *, on_answered: Callable[[int], None] | None = None) -> None:
        """
        Perform *edits*, each only if its entry is still the edition that it replaces.

        Raises:
            CatalogConflictError: Somebody else changed an entry meanwhile; entries named in the text were not written.
            BrokerUnreachableError: It is not known what was written; doing the same again finishes it.
            BrokerError: The bucket refused.
        """
        # A catalog says that it continues another one only once it holds what that means.
        identity = [edit for edit in edits if edit.key == IDENTITY_KEY]
        if identity and len(identity) < len(edits):
            await self.write([edit for edit in edits if edit.key != IDENTITY_KEY], on_answered=on_answered)
            edits = identity
        for edit in edits:
            limit = max_data_bytes(self._link)
            if edit.data is not None and len(edit.data) > limit:
                raise PayloadTooLargeError(
                    f"cannot store {edit.key}: it has {len(edit.data)} bytes, and the broker takes {limit}"
                )
        verdicts = await store(self._link, [_outgoing(edit) for edit in edits], on_answered=on_answered)
        conflicts: list[str] = []
        for edit, verdict in zip(edits, verdicts, strict=True):
            match verdict:
                case Stored():
                    continue
                case Refused() if verdict.err_code in WRONG_LAST_SEQUENCE:
                    conflicts.append(edit.key)
                case Refused() if verdict.err_code in (STREAM_FULL, STORAGE_FULL):
                    raise StreamFullError(f"cannot store {edit.key}: {why_refused(verdict, CATALOG_STREAM)}")
                case Refused():
                    raise BrokerError(f"cannot store {edit.key} in the catalog: {verdict.reason}")
                case Unsent() | Unknown():
                    raise BrokerUnreachableError(
                        f"cannot know whether {edit.key} was stored: {verdict.reason} (doing the same again is safe)"
                    )
        if conflicts:
            raise await self._conflict(conflicts)

    async def _conflict(self, keys: Sequence[str]) -> CatalogConflictError:
        """Build the error for entries that somebody else changed, naming who and when as far as they say so."""
        winner = await last_message(self._link, CATALOG_STREAM, CATALOG_PREFIX + keys[0])
        who, at = signature(winner.data if winner is not None else b"")
        shown = ", ".join(keys[:5]) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        return CatalogConflictError(shown, keys=keys, who=who, at=at)

    def _build(self, reading: Reading) -> CatalogSnapshot:
        shares: dict[ShareId, ShareRecord] = {}
        members: dict[ClassName, set[VmId]] = {}
        remotes: dict[RemoteName, RemoteRecord] = {}
        vms: dict[VmId, Mapping[str, Any]] = {}
        bad: dict[str, str] = {}
        identity = Identity()
        for message in reading.last.values():
            key = message.subject[len(CATALOG_PREFIX) :]
            if not message.data:
                continue
            kind, _, name = key.partition(".")
            try:
                match kind:
                    case "share":
                        shares[parse_share_id(name)] = self._record(key, message)
                    case "class":
                        members.setdefault(parse_class_name(name), set())
                    case "member":
                        class_name, _, vm = name.partition(".")
                        members.setdefault(parse_class_name(class_name), set()).add(parse_vm_id(vm))
                    case "remote":
                        remotes[parse_remote_name(name)] = decode_remote(message.data)
                    case "vm":
                        vms[parse_vm_id(name)] = decode_object(message.data, what=key)
                    case _ if key == IDENTITY_KEY:
                        identity = decode_identity(message.data)
                    case _:
                        bad[key] = "a newer version wrote it"
            except (DecodeError, SubjectError) as exc:
                bad[key] = str(exc)
        return CatalogSnapshot(
            id=identity.id,
            seq=reading.facts.last_seq,
            shares={share_id: shares[share_id] for share_id in sorted(shares)},
            members={name: frozenset(members[name]) for name in sorted(members)},
            remotes=remotes,
            vms=vms,
            editions={message.subject[len(CATALOG_PREFIX) :]: message.seq for message in reading.last.values()},
            bad=bad,
            predecessors=identity.continues,
        )

    def _record(self, key: str, message: StoredMessage) -> ShareRecord:
        known = self._decoded.get(key)
        if known is None or known.message is not message:
            known = _decode(key, message)
            self._decoded[key] = known
        if known.record is None:
            raise DecodeError(known.problem)
        return known.record


def _decode(key: str, message: StoredMessage) -> _Decoded:
    try:
        record = decode_record(message.data)
    except DecodeError as exc:
        return _Decoded(message, None, str(exc))
    if f"share.{record.share.id}" != key:
        return _Decoded(message, None, f"cannot use the record of {key!r}: it is about {record.share.id!r}")
    return _Decoded(message, record, "")


def signature(data: bytes) -> tuple[str, str]:
    """Read who wrote an entry last and when; empty texts where it does not say."""
    try:
        values = decode_object(data, what="entry")
    except DecodeError:
        return "", ""
    return (
        str(values.get("updated_by") or values.get("created_by") or ""),
        str(values.get("updated_at") or values.get("created_at") or ""),
    )


def _outgoing(edit: Edit) -> Outgoing:
    headers = {KV_OPERATION: "DEL"} if edit.data is None else {}
    return Outgoing(CATALOG_PREFIX + edit.key, edit.data or b"", edit.expected_seq, headers)
