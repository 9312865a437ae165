"""Commands on remotes → edits of the catalog (pure): every share that names a remote follows it in the same fan-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from controlplane.assign import Field, assigned, find_field
from controlplane.decide import Intent
from controlplane.edits import Author, Change, find_remote
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, Edit, RemoteRecord, ShareRecord, encode_remote, with_edits
from controlplane.remotes import check_remote, resolved
from weft.errors import CatalogError
from weft.wire.ids import RemoteName, VmId, parse_remote_name
from weft.wire.subjects import remote_key


def remote_field(backend: str, name: str) -> Field:
    """
    Find the field of a remote with the dotted *name*, with or without the backend in front.

    Raises:
        ConfigError: There is no such field.
    """
    return find_field(name if name.startswith(f"{backend}.") else f"{backend}.{name}")


def build_set_remote(
    snapshot: CatalogSnapshot,
    members: Members,
    name: str,
    backend: str,
    block: Mapping[str, Any],
    description: str | None,
    author: Author,
) -> Change:
    """
    Make a remote, or replace all that one says.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        name: The remote.
        backend: Its driver.
        block: The driver's block without a path.
        description: What it is for; None for as it was.
        author: For the record.

    Raises:
        SubjectError: The name is no subject token.
        DecodeError: No share could use it, or one that names it could not any more.
    """
    wanted = parse_remote_name(name)
    old = snapshot.remotes.get(wanted)
    before = old or RemoteRecord(backend=backend, created_at=author.at, created_by=author.who)
    text = before.description if description is None else description
    new = msgspec.structs.replace(before, backend=backend, block=dict(block), description=text)
    return _replacing("remote.set", snapshot, members, wanted, old, new, author)


def build_update_remote(
    snapshot: CatalogSnapshot,
    members: Members,
    name: str,
    assignments: Sequence[tuple[str, Any]],
    description: str | None,
    author: Author,
) -> Change:
    """
    Change single fields of a remote, for example a rotated key.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        name: The remote.
        assignments: Dotted names and values; None removes.
        description: What it is for; None for as it was.
        author: For the record.

    Raises:
        UnknownNameError: There is no such remote.
        ConfigError: No such field.
        DecodeError: As :func:`build_set_remote`.
    """
    old = find_remote(snapshot, name)
    values: dict[str, Any] = {old.backend: dict(old.block)}
    for field_name, value in assignments:
        values = assigned(values, remote_field(old.backend, field_name).path, value)
    text = old.description if description is None else description
    new = msgspec.structs.replace(old, block=values[old.backend], description=text)
    return _replacing("remote.update", snapshot, members, RemoteName(name), old, new, author)


def build_delete_remote(snapshot: CatalogSnapshot, name: str) -> Change:
    """
    Delete a remote that no share names.

    Raises:
        UnknownNameError: There is no such remote.
        CatalogError: Shares name it.
    """
    find_remote(snapshot, name)
    wanted = RemoteName(name)
    using = [record.share.id for record in shares_using(snapshot, wanted)]
    if using:
        shown = ", ".join(using[:5]) + (f" and {len(using) - 5} more" if len(using) > 5 else "")
        raise CatalogError(
            f"cannot delete remote {name!r}: shares use it ({shown}); unpublish them or give them another --from"
        )
    key = remote_key(wanted)
    return Change("remote.delete", edits=(Edit(key, None, snapshot.editions[key]),))


def shares_using(snapshot: CatalogSnapshot, name: RemoteName) -> list[ShareRecord]:
    """List the shares that name a remote, in any edition that is out."""
    return [record for record in snapshot.shares.values() if any(edition.remote == name for edition in record.editions)]


def _replacing(
    action: str,
    snapshot: CatalogSnapshot,
    members: Members,
    name: RemoteName,
    old: RemoteRecord | None,
    new: RemoteRecord,
    author: Author,
) -> Change:
    check_remote(name, new)
    if old == new:
        edits: tuple[Edit, ...] = ()
    else:
        stamped = msgspec.structs.replace(new, updated_at=author.at, updated_by=author.who)
        key = remote_key(name)
        edits = (Edit(key, encode_remote(stamped), snapshot.editions.get(key, 0)),)
    using = shares_using(snapshot, name)
    after = with_edits(snapshot, edits)
    affected: set[VmId] = set()
    for record in using:
        for edition in record.editions:
            resolved(edition, after.remotes)
        affected.update(receivers(record, members))
    ids = tuple(record.share_id for record in using)
    return Change(action, ids, edits, frozenset(affected), Intent(frozenset(ids)))
