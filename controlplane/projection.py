"""Catalog → complete list per VM (pure): the same snapshot and rosters always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from controlplane.records import CatalogSnapshot, RemoteRecord, ShareRecord
from controlplane.remotes import resolved
from controlplane.rollout import split
from weft.errors import DecodeError
from weft.wire.codec import encode_message
from weft.wire.digest import share_digest
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId
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
        ClassName(name)
        for record in snapshot.shares.values()
        if record.enabled
        for edition in record.editions
        for name in edition.targets.classes
    )


def receivers(record: ShareRecord, members: Members) -> frozenset[VmId]:
    """List every VM that gets *record* in any edition; nobody gets a disabled one."""
    return frozenset().union(*(vms for _, vms in editions_out(record, members)))


def targeted(record: ShareRecord, members: Members, asked: frozenset[VmId] | None = None) -> frozenset[VmId]:
    """List the VMs, among *asked* if given, that the targets of *record* name; none where it is disabled."""
    if not record.enabled:
        return frozenset()
    named = frozenset(VmId(vm) for vm in record.targets.vms)
    classes = [members.get(ClassName(name), frozenset()) for name in record.targets.classes]
    if asked is not None:
        named, classes = asked & named, [asked & those for those in classes]
    return named.union(*classes).difference(record.targets.excepted)


def editions_out(
    record: ShareRecord, members: Members, asked: frozenset[VmId] | None = None
) -> Iterator[tuple[ShareRecord, frozenset[VmId]]]:
    """Say for each edition of *record* that is out which VMs, among *asked* if given, get it; none is in two."""
    if not record.enabled:
        return
    for edition in record.editions:
        reached, others = split(record, targeted(edition, members, asked))
        yield edition, reached if edition is record else others


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
        for edition, getting in editions_out(record, members, asked):
            _add(edition, snapshot.remotes, getting, lists, problems)
    complete = {vm: tuple(shares) for vm, shares in lists.items() if vm not in problems}
    return Projection(complete, problems, snapshot.bad_shares)


def _add(
    edition: ShareRecord,
    remotes: Mapping[RemoteName, RemoteRecord],
    getting: Iterable[VmId],
    lists: Mapping[VmId, list[ProjectedShare]],
    problems: dict[VmId, str],
) -> None:
    common: ProjectedShare | None = None
    is_common = not has_placeholder(edition.share)
    for vm in getting:
        try:
            if not is_common or edition.is_refreshed_for(vm):
                own = edition.share_for(vm, resolved(edition, remotes))
                lists[vm].append(ProjectedShare(expand(own, vm)))
                continue
            common = common or ProjectedShare(resolved(edition, remotes))
            lists[vm].append(common)
        except DecodeError as exc:
            problems.setdefault(vm, f"share {edition.share.id!r}: {exc}")


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
