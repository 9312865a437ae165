"""Catalog → complete list per VM (pure): the same snapshot and rosters always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from controlplane.records import CatalogSnapshot, ShareRecord
from weft.errors import DecodeError
from weft.wire.codec import encode_message
from weft.wire.digest import share_digest
from weft.wire.ids import ClassName, ShareId, VmId
from weft.wire.share import ShareMount

VM_PLACEHOLDER = "{vm}"

Members = Mapping[ClassName, frozenset[VmId]]


class ProjectedShare:
    """
    One share as one or many VMs get it, encoded once for all of them.

    Args:
        share: With ``{vm}`` replaced.
    """

    def __init__(self, share: ShareMount) -> None:
        self.share = share
        self.encoded = encode_message(share)

    @property
    def id(self) -> ShareId:
        """The share's id."""
        return self.share.share_id

    @cached_property
    def digest(self) -> str:
        """The digest a guest reports once it has it."""
        return share_digest(self.share)


@dataclass(frozen=True, slots=True)
class Projection:
    """
    What each asked VM should have.

    Attributes:
        lists: The complete list of each VM, by share id; VMs with a problem are not in it.
        problems: VMs whose list cannot be computed, and why. Their state must stay as it is.
        unreadable: Shares whose record cannot be read: wherever they are, they must stay.
    """

    lists: Mapping[VmId, tuple[ProjectedShare, ...]] = field(default_factory=dict)
    problems: Mapping[VmId, str] = field(default_factory=dict)
    unreadable: Mapping[ShareId, str] = field(default_factory=dict)


def referenced_classes(snapshot: CatalogSnapshot) -> frozenset[ClassName]:
    """Name every class that an enabled share is for; their members are needed to project anything."""
    return frozenset(
        ClassName(name) for record in snapshot.shares.values() if record.enabled for name in record.targets.classes
    )


def receivers(record: ShareRecord, members: Members) -> frozenset[VmId]:
    """List every VM that gets *record*; nobody gets a disabled one."""
    if not record.enabled:
        return frozenset()
    named = {VmId(vm) for vm in record.targets.vms}
    return frozenset(named.union(*_classes_of(record, members)).difference(record.targets.excepted))


def _classes_of(record: ShareRecord, members: Members) -> list[frozenset[VmId]]:
    return [members.get(ClassName(name), frozenset()) for name in record.targets.classes]


def project(snapshot: CatalogSnapshot, members: Members, vms: Iterable[VmId]) -> Projection:
    """
    Compute the complete list of each of *vms*.

    Args:
        snapshot: The catalog.
        members: VMs of every class in :func:`referenced_classes`.
        vms: Who is asked about; a VM that gets nothing has an empty list.
    """
    asked = frozenset(vms)
    lists: dict[VmId, list[ProjectedShare]] = {vm: [] for vm in sorted(asked)}
    problems: dict[VmId, str] = {}
    for _, record in sorted(snapshot.shares.items()):
        if not record.enabled:
            continue
        getting = asked.intersection(record.targets.vms).union(
            *(asked & those for those in _classes_of(record, members))
        )
        if not getting:
            continue
        common = None if has_placeholder(record.share) else ProjectedShare(record.share)
        for vm in getting.difference(record.targets.excepted):
            try:
                if common is not None and not record.is_refreshed_for(vm):
                    lists[vm].append(common)
                else:
                    lists[vm].append(ProjectedShare(expand(record.share_for(vm), vm)))
            except DecodeError as exc:
                problems.setdefault(vm, f"share {record.share.id!r}: {exc}")
    complete = {vm: tuple(shares) for vm, shares in lists.items() if vm not in problems}
    return Projection(complete, problems, snapshot.bad_shares)


def has_placeholder(share: ShareMount) -> bool:
    """Say whether *share* differs from VM to VM."""
    texts = (
        share.mount_point,
        share.rclone.path if share.rclone else "",
        share.cubefs.subdir if share.cubefs else "",
    )
    return any(VM_PLACEHOLDER in text for text in texts)


def expand(share: ShareMount, vm: VmId) -> ShareMount:
    """
    Put the VM's id where ``{vm}`` stands in mount point, path or subdir.

    Raises:
        DecodeError: The result breaks the contract, for example a path that became too long.
    """
    if not has_placeholder(share):
        return share
    changes: dict[str, object] = {"mount_point": share.mount_point.replace(VM_PLACEHOLDER, vm)}
    if share.rclone is not None:
        changes["rclone"] = msgspec.structs.replace(share.rclone, path=share.rclone.path.replace(VM_PLACEHOLDER, vm))
    if share.cubefs is not None:
        subdir = share.cubefs.subdir.replace(VM_PLACEHOLDER, vm)
        changes["cubefs"] = msgspec.structs.replace(share.cubefs, subdir=subdir)
    return msgspec.structs.replace(share, **changes)
