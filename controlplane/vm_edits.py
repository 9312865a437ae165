"""Forgetting VMs → edits of the catalog (pure): out of classes, targets, exceptions and notes."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from controlplane.edits import Author, Change, record_edit
from controlplane.records import CatalogSnapshot, Edit, ShareRecord
from weft.wire.ids import VmId
from weft.wire.subjects import member_key, vm_key


def build_forget(snapshot: CatalogSnapshot, vms: Collection[VmId], author: Author) -> Change:
    """
    Remove every trace of *vms*, so that a machine that gets one of these ids later inherits nothing.

    No list is published: what the machines have mounted is theirs until they are gone.
    """
    gone = frozenset(vms)
    keys = [member_key(name, vm) for name, members in snapshot.members.items() for vm in sorted(members & gone)]
    keys += [vm_key(vm) for vm in sorted(gone) if vm in snapshot.vms]
    edits = [Edit(key, None, snapshot.editions[key]) for key in keys]
    for record in snapshot.shares.values():
        without = record.with_editions(lambda edition: _without(edition, gone))
        if without != record:
            changed = msgspec.structs.replace(without, updated_at=author.at, updated_by=author.who)
            edits.append(record_edit(snapshot, changed))
    return Change("vm.forget", edits=tuple(edits), is_repeatable=True)


def _without(edition: ShareRecord, gone: frozenset[VmId]) -> ShareRecord:
    targets = msgspec.structs.replace(
        edition.targets,
        vms=tuple(vm for vm in edition.targets.vms if vm not in gone),
        excepted=tuple(vm for vm in edition.targets.excepted if vm not in gone),
    )
    refreshes = {vm: number for vm, number in edition.refreshes.items() if vm not in gone}
    return msgspec.structs.replace(edition, targets=targets, refreshes=refreshes)
