"""Where catalog, stream and guests do not agree (pure), one line for each share of each VM."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from controlplane.comparison import Bucket, compare
from controlplane.messages import LastMessage
from controlplane.projection import ProjectedShare, Projection
from controlplane.views import VmView
from weft.wire.ids import ShareId, VmId


class Side(enum.StrEnum):
    """What does not agree: the stored list with the catalog, or the guest with the stored list."""

    STREAM = "stream"
    GUEST = "guest"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One difference.

    Attributes:
        vm: Where.
        side: Between what.
        share_id: The share, empty where it is about the whole VM.
        what: What differs, as a clause about the VM or share.
    """

    vm: VmId
    side: Side
    share_id: str
    what: str


def stream_differences(projection: Projection, last: Mapping[VmId, LastMessage]) -> Iterator[Difference]:
    """Compare what each VM should have with its stored list."""
    for vm, problem in sorted(projection.problems.items()):
        yield Difference(vm, Side.STREAM, "", f"its list cannot be computed: {problem}")
    for vm, wanted in projection.lists.items():
        for share_id, what in _list_differences(wanted, last.get(vm), projection.unreadable):
            yield Difference(vm, Side.STREAM, share_id, what)


def _list_differences(
    wanted: Iterable[ProjectedShare], last: LastMessage | None, unreadable: Mapping[ShareId, str]
) -> Iterator[tuple[str, str]]:
    shares = {share.id: share for share in wanted}
    if last is None:
        if shares:
            yield "", "no list is stored for it"
        return
    if not last.is_set:
        yield "", "its last message is a single share, not a list"
        return
    for share_id in sorted(shares.keys() | last.elements.keys()):
        share, stored = shares.get(share_id), last.elements.get(share_id)
        if share is None:
            yield share_id, unreadable.get(share_id, "is in its list and not meant for it")
        elif stored is None:
            yield share_id, "is not in its list"
        elif fields := _differing_fields(share.encoded, stored):
            yield share_id, f"differs in {', '.join(fields)}"


def _differing_fields(wanted: bytes, stored: bytes) -> list[str]:
    """Name the fields in which two encoded shares differ, without their values: some are secret."""
    old, new = (dict(_flat(msgspec.json.decode(data), "")) for data in (stored, wanted))
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def guest_differences(views: Iterable[VmView]) -> Iterator[Difference]:
    """Compare what each VM reports with its stored list; a VM without a list has nothing to depart from."""
    for view in views:
        if view.wanted is None:
            continue
        if view.status is None or view.is_stale or view.problem is not None:
            if view.wanted.ids or view.status is not None:
                yield Difference(view.vm, Side.GUEST, "", view.problem or "cannot be read")
            continue
        if view.is_behind:
            held, stored = view.status.held_revision, view.stored_revision
            yield Difference(view.vm, Side.GUEST, "", f"obeys revision {held}, stored is {stored}")
        for share in compare(view):
            if share.bucket is not Bucket.MOUNTED:
                error = share.status.error if share.status is not None else None
                state = share.status.state.value if share.status is not None else ""
                why = f"{error.code}: {error.message}" if error is not None else ""
                what = share.departs or ", ".join(filter(None, (state, why)))
                yield Difference(view.vm, Side.GUEST, share.share_id, what)
