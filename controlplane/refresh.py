"""Raising a share's refresh number (pure): for everybody, or for a few of the VMs that have it."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from controlplane.decide import Intent
from controlplane.edits import Author, Change, record_edit
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, ShareRecord
from controlplane.roster import unknown
from weft.wire.ids import ShareId, VmId, parse_share_id


def build_refresh(
    snapshot: CatalogSnapshot,
    members: Members,
    share_id: str,
    author: Author,
    *,
    vms: Collection[VmId] | None = None,
    action: str = "refresh",
) -> Change:
    """
    Raise the refresh number of a share, which remounts nothing.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        share_id: The share.
        author: For the record.
        vms: Only for these; None for everybody who has it.
        action: What the audit calls it.

    Raises:
        UnknownNameError: There is no such share.
    """
    record = find_record(snapshot, share_id)
    having = receivers(record, members)
    chosen = having if vms is None else having & frozenset(vms)
    warnings = tuple(f"{vm} does not have share {share_id!r}" for vm in sorted(set(vms or ()) - having))
    new = record.with_editions(lambda edition: refreshed(edition, having, chosen, author))
    return Change(
        action,
        (record.share_id,),
        (record_edit(snapshot, new),) if chosen else (),
        chosen,
        Intent(frozenset({record.share_id}), changed=new.share),
        warnings,
        is_repeatable=True,
    )


def refreshed(record: ShareRecord, having: Collection[VmId], chosen: Collection[VmId], author: Author) -> ShareRecord:
    """
    Build *record* with a number for *chosen* that is higher than any before.

    Args:
        record: The share.
        having: Every VM that has it; numbers of other VMs are dropped.
        chosen: Whose number to raise; once that is everybody, the share's own number is raised instead.
        author: For the record.
    """
    number = max(record.share.refresh, *record.refreshes.values(), 0) + 1
    changed = msgspec.structs.replace(record, updated_at=author.at, updated_by=author.who)
    if set(chosen) == set(having):
        share = msgspec.structs.replace(record.share, refresh=number)
        return msgspec.structs.replace(changed, share=share, refreshes={})
    kept = {vm: own for vm, own in record.refreshes.items() if vm in having and own > record.share.refresh}
    return msgspec.structs.replace(changed, refreshes=kept | dict.fromkeys(sorted(chosen), number))


def find_record(snapshot: CatalogSnapshot, share_id: str) -> ShareRecord:
    """
    Find a share's record.

    Raises:
        UnknownNameError: There is none; the error names those that look alike.
    """
    wanted: ShareId = parse_share_id(share_id)
    record = snapshot.shares.get(wanted)
    if record is None:
        raise unknown("share", share_id, snapshot.shares)
    return record
