"""What other programs published as single messages, taken into the catalog (pure)."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from controlplane.decide import Survey
from controlplane.edits import Audience, Author, Details, published, record_edit, targets_with, without
from controlplane.projection import Members, has_placeholder, receivers
from controlplane.records import CatalogSnapshot, Edit, ShareRecord
from weft.errors import ContractError, DecodeError
from weft.wire.digest import set_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.share import Action, ShareMount


def build_take_over(
    snapshot: CatalogSnapshot, members: Members, survey: Survey, named: Collection[ShareId], author: Author
) -> tuple[tuple[Edit, ...], tuple[str, ...]]:
    """
    Take into the catalog what other programs published as single messages.

    A single that mounts adds the VM to the share's targets, one that unmounts takes it from them. Where the catalog
    has another share of that id, the single is left alone: guests keep it, and a warning says so.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        survey: Last messages; only singles matter.
        named: Shares the command is about: it decides, not the single.
        author: For the record.

    Returns:
        Edits, one per share, and warnings.
    """
    records: dict[ShareId, ShareRecord] = {}
    warnings: list[str] = []
    unreadable = snapshot.bad_shares
    for vm, last in sorted(survey.last.items()):
        single = last.single
        if single is None or single.share_id in named:
            continue
        if single.share_id in unreadable:
            warnings.append(
                f"{vm} has a single message about share {single.id!r} that is left alone: the catalog's record of it"
                " cannot be read"
            )
            continue
        record = records.get(single.share_id, snapshot.shares.get(single.share_id))
        try:
            taken = _taken_over(record, members, vm, single, author)
        except ContractError as exc:
            warnings.append(f"{vm} has a single message about share {single.id!r} that is left alone: {exc}")
            continue
        if taken is not None:
            records[single.share_id] = taken
    return tuple(record_edit(snapshot, record) for record in records.values()), tuple(warnings)


def _taken_over(
    record: ShareRecord | None, members: Members, vm: VmId, single: ShareMount, author: Author
) -> ShareRecord | None:
    """Build the record that covers *single* on *vm*, None where nothing needs to change."""
    has_it = record is not None and vm in receivers(record, members)
    if single.is_unmount:
        return without(record, members, Audience(vms=(vm,)), author) if record is not None and has_it else None
    if has_it:
        return None
    share = msgspec.structs.replace(single, action=Action.DEFAULT)
    if record is None:
        if has_placeholder(share):
            raise DecodeError("it holds {vm}, which means something here")
        return published(None, share, Audience(vms=(vm,)), Details(), author)
    if set_digest([record.share]) != set_digest([share]) or not record.enabled:
        raise DecodeError("the catalog has another share with this id")
    return msgspec.structs.replace(
        record, targets=targets_with(record.targets, Audience(vms=(vm,))), updated_at=author.at, updated_by=author.who
    )
