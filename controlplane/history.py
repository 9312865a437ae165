"""The editions of a share that the catalog still has: who made them, when, and what each changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.reader import CATCH_UP_PAUSE_S, CATCH_UP_S, read_messages
from controlplane.records import ShareRecord, decode_record
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError, CatalogError, DecodeError
from weft.link import Link
from weft.wire.ids import ShareId
from weft.wire.share import share_to_builtins
from weft.wire.subjects import CATALOG_PREFIX, CATALOG_STREAM, share_key
from weft.wire.tolerant import to_builtins

UNTOLD = frozenset({"created_at", "created_by", "updated_at", "updated_by"})
"""Fields that say who changed something and when, not what."""
ROLLOUT = "rollout"
"""A field that is named whole: what is in it is how far a rollout has come, and all of the edition before."""
NOT_BROUGHT_BACK = frozenset({ROLLOUT, "refresh", "refreshes"})
"""Fields that a rollback leaves as they are, so that an edition which differs in nothing else is none to go back to."""


@dataclass(frozen=True, slots=True)
class Edition:
    """
    One version of a share's entry.

    Attributes:
        number: Its number; later ones have higher ones, not without gaps.
        at_s: When the broker stored it, as a Unix time.
        who: Who made it, ``""`` where that is not known, as for an end.
        record: The share, None where it was ended, or cannot be read.
        changed: Dotted names of the fields in which it differs from the edition before.
        problem: Why it cannot be read.
    """

    number: int
    at_s: float
    who: str = ""
    record: ShareRecord | None = None
    changed: tuple[str, ...] = ()
    problem: str = ""

    @property
    def is_end(self) -> bool:
        """Whether the share was ended."""
        return self.record is None and not self.problem


async def read_history(link: Link, share_id: ShareId, *, at_least: int) -> list[Edition]:
    """
    Read every edition that is kept, oldest first.

    Args:
        link: Connected.
        share_id: The share.
        at_least: An edition that exists: a replica that does not have it yet is asked again.

    Raises:
        BrokerError: The catalog could not be read.
    """
    subject = CATALOG_PREFIX + share_key(share_id)
    deadline_s = asyncio.get_running_loop().time() + CATCH_UP_S
    while True:
        messages = await read_messages(link, CATALOG_STREAM, subject)
        if messages and messages[-1].seq >= at_least:
            return build_history(messages)
        if asyncio.get_running_loop().time() > deadline_s:
            raise BrokerUnreachableError(f"cannot read the history of {share_id!r}: the replica stays behind")
        await asyncio.sleep(CATCH_UP_PAUSE_S)


def build_history(messages: Iterable[StoredMessage]) -> list[Edition]:
    """Turn the messages of one entry, oldest first, into its editions."""
    editions: list[Edition] = []
    before: ShareRecord | None = None
    for message in messages:
        record, problem = _decoded(message.data)
        editions.append(
            Edition(
                number=message.seq,
                at_s=message.stored_at_s,
                who=record.updated_by if record is not None else "",
                record=record,
                changed=changed_fields(before, record) if before is not None and record is not None else (),
                problem=problem,
            )
        )
        before = record
    return editions


def _decoded(data: bytes) -> tuple[ShareRecord | None, str]:
    if not data:
        return None, ""
    try:
        return decode_record(data), ""
    except DecodeError as exc:
        return None, str(exc)


def choose_edition(share_id: ShareId, editions: Sequence[Edition], number: int | None) -> ShareRecord:
    """
    Find the edition to go back to.

    Args:
        share_id: The share, for errors.
        editions: Oldest first, at least one.
        number: Which one; None for the last before the present one that differs in what can be brought back.

    Raises:
        CatalogError: There is no such edition, or it holds no share.
    """
    known = ", ".join(str(edition.number) for edition in editions if edition.record is not None)
    if number is not None:
        found = next((edition for edition in editions if edition.number == number), None)
        if found is None or found.record is None:
            why = "the share was ended there" if found is not None and found.is_end else "there is none"
            raise CatalogError(f"cannot go back to edition {number} of share {share_id!r}: {why} (kept are {known})")
        return found.record
    *earlier, present = editions
    for edition in reversed(earlier):
        if edition.record is None:
            continue
        if present.record is None or _is_worth_going_back(edition.record, present.record):
            return edition.record
    raise CatalogError(f"cannot go back: share {share_id!r} has no earlier edition that differs")


def _is_worth_going_back(edition: ShareRecord, present: ShareRecord) -> bool:
    return any(name.partition(".")[0] not in NOT_BROUGHT_BACK for name in changed_fields(edition, present))


def changed_fields(before: ShareRecord, after: ShareRecord) -> tuple[str, ...]:
    """Name the fields in which two records differ, dotted and without their values, so that no secret shows."""
    old, new = (dict(_flat(_values(record), "")) for record in (before, after))
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def _values(record: ShareRecord) -> dict[str, Any]:
    values = {**to_builtins(record), **share_to_builtins(record.share)}
    values.pop("share", None)
    return {name: value for name, value in values.items() if name not in UNTOLD}


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value and key != ROLLOUT:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
