"""The stream → a catalog that would publish the same (pure): for the day on which the catalog was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from controlplane.adoption import build_adoption, marks_of
from controlplane.edits import Audience, Author, Change, record_edit, targets_with, without
from controlplane.messages import LastMessage
from controlplane.projection import VM_PLACEHOLDER, Members, expand, targeted
from controlplane.records import CatalogSnapshot, Edit, ShareRecord
from controlplane.remotes import resolved
from weft.errors import CatalogError, DecodeError
from weft.wire.codec import decode_object, encode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.share import ShareMount, parse_share

Found = Mapping[VmId, ShareMount]
SHOWN_VMS = 5
"""How many VMs a line names."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """
    What a recovery does.

    Attributes:
        lines: One for each share: ``+`` new, ``~`` brought up to date, ``-`` kept but disabled.
        warnings: What cannot be recovered as it was.
    """

    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def build_recovery(
    snapshot: CatalogSnapshot, members: Members, last: Mapping[VmId, LastMessage], author: Author, new_id: str
) -> tuple[Change, Recovery]:
    """
    Make the catalog say what the stored lists say; what they do not tell (classes, owners) stays as it is.

    Args:
        snapshot: The catalog: empty, another one, or an older state.
        members: VMs of the classes in it.
        last: The last message of every VM.
        author: For the record.
        new_id: An id that no catalog had.

    Raises:
        CatalogError: The catalog knows everything that the stream does.
    """
    adoption = build_adoption(snapshot, marks_of(last.values()), new_id)
    if adoption is None:
        raise CatalogError("cannot recover the catalog: it knows everything that the stream does, so nothing is lost")
    lists, warnings = _read_lists(last)
    listed = frozenset(vm for vm, message in last.items() if message.is_set)
    edits: list[Edit] = []
    lines: list[str] = []
    for share_id, found in sorted(lists.items()):
        old = snapshot.shares.get(share_id)
        record, odd = _recovered(snapshot, members, old, found, listed, author)
        if odd:
            shown = ", ".join(odd[:SHOWN_VMS]) + (f" and {len(odd) - SHOWN_VMS} more" if len(odd) > SHOWN_VMS else "")
            warnings.append(f"share {share_id!r} differs in {shown}, which will get what most have")
        if old == record:
            continue
        lines.append(f"{'~' if old is not None else '+'} share {share_id}: on {len(found)} VMs")
        edits.append(record_edit(snapshot, _signed(record, author)))
    for share_id in sorted(snapshot.shares.keys() - lists.keys()):
        old = snapshot.shares[share_id]
        if targeted(old, members) & listed:
            lines.append(f"- share {share_id}: disabled, as no VM has it any more")
            edits.append(
                record_edit(snapshot, _signed(msgspec.structs.replace(old, enabled=False, rollout=None), author))
            )
    change = Change("recover", edits=(*edits, adoption), warnings=tuple(warnings))
    return change, Recovery(tuple(lines), tuple(warnings))


def _signed(record: ShareRecord, author: Author) -> ShareRecord:
    return msgspec.structs.replace(record, updated_at=author.at, updated_by=author.who)


def _read_lists(last: Mapping[VmId, LastMessage]) -> tuple[dict[ShareId, dict[VmId, ShareMount]], list[str]]:
    lists: dict[ShareId, dict[VmId, ShareMount]] = {}
    warnings: list[str] = []
    for vm, message in sorted(last.items()):
        for share_id, encoded in message.elements.items():
            try:
                lists.setdefault(share_id, {})[vm] = parse_share(decode_object(encoded, what="share"))
            except DecodeError as exc:
                warnings.append(f"share {share_id!r} of {vm} cannot be read: {exc}")
    return {share_id: found for share_id, found in lists.items() if found}, warnings


def _recovered(
    snapshot: CatalogSnapshot,
    members: Members,
    old: ShareRecord | None,
    found: Found,
    listed: frozenset[VmId],
    author: Author,
) -> tuple[ShareRecord, list[VmId]]:
    """Build the record of one share, and name the VMs that have something else than it gives them."""
    share, odd = _common(found)
    base = min(item.refresh for item in found.values())
    refreshes = {vm: item.refresh for vm, item in found.items() if item.refresh > base}
    share = msgspec.structs.replace(share, refresh=base)
    if old is None:
        record = ShareRecord(
            share=share, description="recovered from the stream", created_at=author.at, created_by=author.who
        )
    elif _is_what_they_have(snapshot, old, share):
        record = msgspec.structs.replace(old, share=msgspec.structs.replace(old.share, refresh=base))
    else:
        record = msgspec.structs.replace(old, share=share, remote="")
    record = msgspec.structs.replace(record, enabled=True, refreshes=refreshes, rollout=None)
    having = targeted(record, members)
    added = Audience(vms=tuple(sorted(found.keys() - having)))
    taken = Audience(vms=tuple(sorted((having & listed) - found.keys())))
    if added.vms:
        record = msgspec.structs.replace(record, targets=targets_with(record.targets, added))
    if taken.vms:
        shorter = without(record, members, taken, author)
        record = msgspec.structs.replace(record, targets=shorter.targets)
    return record, odd


def _is_what_they_have(snapshot: CatalogSnapshot, old: ShareRecord, share: ShareMount) -> bool:
    try:
        wanted = resolved(old, snapshot.remotes)
    except DecodeError:
        return False
    return encode_message(msgspec.structs.replace(wanted, refresh=share.refresh)) == encode_message(share)


def _common(found: Found) -> tuple[ShareMount, list[VmId]]:
    """Find the one share that gives every VM, or most of them, what it has; ``{vm}`` where they differ only by id."""
    plain = {vm: msgspec.structs.replace(share, refresh=0) for vm, share in found.items()}
    if len({encode_message(share) for share in plain.values()}) > 1:
        general = {vm: _generalised(share, vm) for vm, share in plain.items()}
        plain = {vm: share if expand(share, vm) == plain[vm] else plain[vm] for vm, share in general.items()}
    counts = Counter(encode_message(share) for share in plain.values())
    most = counts.most_common(1)[0][0]
    share = next(share for share in plain.values() if encode_message(share) == most)
    return share, [vm for vm, item in plain.items() if encode_message(item) != most]


def _generalised(share: ShareMount, vm: VmId) -> ShareMount:
    changes: dict[str, object] = {"mount_point": share.mount_point.replace(vm, VM_PLACEHOLDER)}
    if share.rclone is not None:
        changes["rclone"] = msgspec.structs.replace(share.rclone, path=share.rclone.path.replace(vm, VM_PLACEHOLDER))
    if share.cubefs is not None:
        changes["cubefs"] = msgspec.structs.replace(
            share.cubefs, subdir=share.cubefs.subdir.replace(vm, VM_PLACEHOLDER)
        )
    return msgspec.structs.replace(share, **changes)
