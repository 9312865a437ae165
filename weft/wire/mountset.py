"""MountSet: everything one VM should have mounted, as one message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from weft.errors import DecodeError, SubjectError, TooManySharesError
from weft.wire.ids import parse_share_id, parse_vm_id
from weft.wire.share import ShareMount, parse_share, share_to_builtins
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins

MAX_SHARES = 1000
"""What a guest takes unless its administrator says otherwise: a quarter of a second of planning at a time, and a
kilobyte of its status for each share, which must fit a message of 1 MiB with the error of every one."""


class CatalogMark(Tolerant, frozen=True, kw_only=True):
    """Which catalog a list was computed from, and how far it had been read."""

    id: Annotated[str, msgspec.Meta(description="Identity of the catalog; another catalog has another.")]
    seq: Annotated[int, msgspec.Meta(description="Stream sequence up to which the catalog had been read.", ge=0)]


class RejectedShare(msgspec.Struct, frozen=True, kw_only=True):
    """An element of ``shares`` that cannot be used; what its id has mounted stays."""

    index: int
    id: str | None
    mount_point: str
    backend: str
    reason: str


class MountSet(msgspec.Struct, frozen=True, kw_only=True):
    """
    The complete list of shares that one VM should have.

    Attributes:
        vm: The VM it is for.
        revision: Grows per VM; decides which of two sets is newer.
        catalog: The catalog it was computed from, None from a publisher that has none.
        shares: What decoded, in order.
        gone: Ids that arrived as single messages before and must go now.
        changed: The one share this publish was about, repeated at the top level for agents that know only singles.
        rejected: What did not decode; empty in a set that is about to be published.
        extra: Unknown top-level fields.
    """

    vm: str
    revision: int
    shares: tuple[ShareMount, ...]
    catalog: CatalogMark | None = None
    gone: tuple[str, ...] = ()
    changed: ShareMount | None = None
    rejected: tuple[RejectedShare, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every element's id could be read; only then may an absence in the list unmount anything."""
        return all(element.id is not None for element in self.rejected)


_SET_FIELDS = frozenset({"vm", "revision", "catalog", "shares", "gone"})


def parse_mount_set(obj: dict[str, Any], *, max_shares: int | None = None) -> MountSet:
    """
    Build a MountSet from decoded JSON that has a ``shares`` key.

    Elements are read one by one: a bad one becomes a :class:`RejectedShare`, never an error.

    Args:
        obj: What the JSON decoder returned.
        max_shares: How many elements there may be, None for any number; counted before the first is read.

    Raises:
        TooManySharesError: there are more.
        DecodeError: the frame itself is wrong (vm, revision, catalog, gone, or ``shares`` is no array).
    """
    vm = obj.get("vm")
    try:
        parse_vm_id(vm)
    except SubjectError as exc:
        raise DecodeError(f"cannot decode mount set: {exc}", field="vm") from exc
    elements = obj["shares"]
    if not isinstance(elements, list):
        raise DecodeError(f"cannot decode mount set: shares must be an array, not {elements!r:.40}", field="shares")
    revision = _parse_revision(obj.get("revision"))
    if max_shares is not None and len(elements) > max_shares:
        raise TooManySharesError(parse_vm_id(vm), revision, len(elements), max_shares)
    shares, rejected = _parse_elements(elements)
    return MountSet(
        vm=parse_vm_id(vm),
        revision=revision,
        catalog=_parse_catalog(obj.get("catalog")),
        shares=shares,
        gone=_parse_gone(obj.get("gone")),
        changed=_parse_changed(obj, elements, shares),
        rejected=rejected,
        extra={key: value for key, value in obj.items() if key not in _SET_FIELDS} if "id" not in obj else {},
    )


def _parse_elements(elements: list[Any]) -> tuple[tuple[ShareMount, ...], tuple[RejectedShare, ...]]:
    shares: dict[str, ShareMount] = {}
    rejected: list[RejectedShare] = []
    for index, element in enumerate(elements):
        try:
            share = parse_share(element)
        except DecodeError as exc:
            rejected.append(_reject(index, element, exc.share_id, f"shares[{index}]: {exc.reason}"))
            continue
        if share.id in shares:
            rejected.append(_reject(index, element, share.id, f"shares[{index}]: id {share.id!r} stands twice"))
        elif not share.is_unmount:
            shares[share.id] = share
    return tuple(shares.values()), tuple(rejected)


def _reject(index: int, element: Any, share_id: str | None, reason: str) -> RejectedShare:
    fields = element if isinstance(element, dict) else {}
    return RejectedShare(
        index=index,
        id=share_id,
        mount_point=_text(fields.get("mount_point")),
        backend=_text(fields.get("backend")),
        reason=reason,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _parse_revision(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return value
    shown = "it is missing" if value is None else f"{value!r:.40} is not a positive whole number"
    raise DecodeError(f"cannot decode mount set: revision: {shown}", field="revision")


def _parse_catalog(value: object) -> CatalogMark | None:
    return None if value is None else from_builtins(CatalogMark, value, what="mount set catalog")


def _parse_gone(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise DecodeError("cannot decode mount set: gone must be an array", field="gone")
    try:
        return tuple(parse_share_id(item) for item in value)
    except SubjectError as exc:
        raise DecodeError(f"cannot decode mount set: gone: {exc}", field="gone") from exc


def _parse_changed(obj: dict[str, Any], elements: list[Any], shares: tuple[ShareMount, ...]) -> ShareMount | None:
    """Read the top-level share; it only repeats what ``shares`` says, so a bad one is no reason to refuse the list."""
    if "id" not in obj:
        return None
    changed = {key: value for key, value in obj.items() if key not in _SET_FIELDS}
    if changed in elements:
        repeated = next((share for share in shares if share.id == changed["id"]), None)
        if repeated is not None:
            return repeated
    try:
        return parse_share(changed)
    except DecodeError:
        return None


def mount_set_to_builtins(mount_set: MountSet) -> dict[str, Any]:
    """Convert to plain values in wire order."""
    values: dict[str, Any] = {"vm": mount_set.vm, "revision": mount_set.revision}
    if mount_set.catalog is not None:
        values["catalog"] = to_builtins(mount_set.catalog)
    values["shares"] = [share_to_builtins(share) for share in mount_set.shares]
    values["gone"] = list(mount_set.gone)
    if mount_set.changed is not None:
        values.update(share_to_builtins(mount_set.changed))
    return values | mount_set.extra
