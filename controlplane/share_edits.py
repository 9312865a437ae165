"""Changes of shares that are in the catalog already → edits (pure): fields, notes, on and off, and going back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from controlplane.assign import Field, assigned
from controlplane.decide import Intent
from controlplane.edits import Author, Change, check_publishable, is_same, record_edit, without_remote
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, ShareRecord
from controlplane.refresh import find_record
from controlplane.remotes import OVERLAID, PATHS
from controlplane.rollout import at_once
from weft.errors import ConfigError
from weft.wire.ids import RemoteName, ShareId
from weft.wire.share import parse_share, share_to_builtins


@dataclass(frozen=True, slots=True)
class Notes:
    """What is noted about a share beside itself; None leaves it, an empty text removes it, also of a label."""

    owner: str | None = None
    tenant: str | None = None
    description: str | None = None
    labels: Mapping[str, str] | None = None


def build_update(
    snapshot: CatalogSnapshot,
    members: Members,
    share_id: str,
    assignments: Sequence[tuple[Field, Any]],
    notes: Notes,
    author: Author,
) -> Change:
    """
    Change single fields of a share.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use, and of the share's.
        share_id: The share.
        assignments: Fields and their values; None removes.
        notes: What to note.
        author: For the record.

    Raises:
        UnknownNameError: There is no such share.
        DecodeError: The result breaks the contract.
        ConfigError: A field belongs to the share's remote.
    """
    old = find_record(snapshot, share_id)
    _refuse_fields_of_remote(snapshot, old, assignments)
    values = share_to_builtins(old.share)
    for field, value in assignments:
        values = assigned(values, field.path, value)
    share = parse_share(values)
    check_publishable(share)
    # A backend that changed with the fields is no backend of the remote; then the share says everything itself.
    remote = old.remote if share.backend_name == old.share.backend_name else ""
    (share,) = without_remote(snapshot, [share], remote)
    labels = {**old.labels, **(notes.labels or {})}
    new = msgspec.structs.replace(
        old,
        share=share,
        remote=remote,
        owner=old.owner if notes.owner is None else notes.owner,
        tenant=old.tenant if notes.tenant is None else notes.tenant,
        description=old.description if notes.description is None else notes.description,
        labels={name: value for name, value in labels.items() if value},
    )
    return _replacing("update", snapshot, members, old, new, author)


def _refuse_fields_of_remote(
    snapshot: CatalogSnapshot, record: ShareRecord, assignments: Sequence[tuple[Field, Any]]
) -> None:
    remote = snapshot.remotes.get(RemoteName(record.remote))
    if remote is None:
        return
    own = {PATHS[remote.backend], *OVERLAID}
    problems = [
        f"cannot set {field.name} of share {record.share.id!r}: it comes from remote {record.remote!r}"
        f" (weft remote update {record.remote})"
        for field, _ in assignments
        if field.path[0] == remote.backend and field.path[1] not in own
    ]
    if problems:
        raise ConfigError(problems)


def build_enable(
    snapshot: CatalogSnapshot, members: Members, share_id: str, author: Author, *, enabled: bool
) -> Change:
    """
    Mount a saved share wherever it belongs, or keep it saved and mounted nowhere.

    Raises:
        UnknownNameError: There is no such share.
    """
    old = find_record(snapshot, share_id)
    new = msgspec.structs.replace(old, enabled=enabled)
    return _replacing("enable" if enabled else "disable", snapshot, members, old, new, author)


def build_rollback(
    snapshot: CatalogSnapshot, members: Members, share_id: ShareId, edition: ShareRecord, author: Author
) -> Change:
    """
    Bring an earlier *edition* of a share back, also of one that was ended.

    Raises:
        UnknownNameError: Its remote is not there any more.
    """
    current = snapshot.shares.get(share_id)
    refresh = max(edition.share.refresh, current.share.refresh if current is not None else 0)
    (share,) = without_remote(snapshot, [edition.share], edition.remote)
    rollout = current.rollout if current is not None else None
    # Its numbers for single VMs are from another time, like a rollout that was under way.
    new = msgspec.structs.replace(
        edition, share=msgspec.structs.replace(share, refresh=refresh), refreshes={}, rollout=rollout
    )
    return _replacing("rollback", snapshot, members, current, new, author)


def _replacing(
    action: str,
    snapshot: CatalogSnapshot,
    members: Members,
    old: ShareRecord | None,
    new: ShareRecord,
    author: Author,
) -> Change:
    new = at_once(old, msgspec.structs.replace(new, updated_at=author.at, updated_by=author.who))
    affected = receivers(new, members) | (receivers(old, members) if old is not None else frozenset())
    edits = () if old is not None and is_same(old, new) else (record_edit(snapshot, new),)
    intent = Intent(frozenset({new.share_id}), changed=new.share)
    settled = frozenset() if edits else frozenset({new.share_id})
    return Change(action, (new.share_id,), edits, affected, intent, settled=settled)
