"""Commands on classes → edits of the catalog (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from controlplane.decide import Intent
from controlplane.edits import Author, Change, record_edit
from controlplane.records import CatalogSnapshot, Edit, ShareRecord
from controlplane.roster import unknown
from weft.errors import CatalogError
from weft.wire.ids import ClassName, ShareId, VmId, parse_class_name, parse_vm_id
from weft.wire.subjects import class_key, member_key


def build_create_class(snapshot: CatalogSnapshot, author: Author, *, name: str) -> Change:
    """
    Make an empty class.

    Raises:
        CatalogError: It exists.
        SubjectError: The name is no subject token.
    """
    wanted = parse_class_name(name)
    if wanted in snapshot.members:
        raise CatalogError(f"cannot create class {name!r}: it exists")
    return Change("class.create", edits=(build_note(snapshot, class_key(wanted), author),), is_repeatable=True)


def build_add_members(snapshot: CatalogSnapshot, author: Author, *, name: str, vms: Sequence[str]) -> Change:
    """
    Add VMs to a class; those in it stay.

    Raises:
        UnknownNameError: There is no such class.
        SubjectError: A VM id is no subject token.
    """
    class_name, present = known_class(snapshot, name)
    wanted = _parsed(vms)
    added = [vm for vm in wanted if vm not in present]
    edits = build_additions(snapshot, class_name, added, author)
    return Change(
        "class.add",
        edits=edits,
        affected=frozenset(wanted),
        intent=Intent(named_vms=frozenset(wanted)),
        is_repeatable=True,
    )


def build_remove_members(snapshot: CatalogSnapshot, author: Author, *, name: str, vms: Sequence[str]) -> Change:
    """Take VMs out of a class, and with it what only the class gave them; raises as :func:`build_add_members`."""
    class_name, present = known_class(snapshot, name)
    wanted = _parsed(vms)
    edits = build_removals(snapshot, class_name, [vm for vm in wanted if vm in present])
    warnings = tuple(f"{vm} is not in class {name!r}" for vm in wanted if vm not in present)
    intent = Intent(named_vms=frozenset(wanted))
    return Change(
        "class.remove", edits=edits, affected=frozenset(wanted), intent=intent, warnings=warnings, is_repeatable=True
    )


def build_set_members(snapshot: CatalogSnapshot, author: Author, *, name: str, vms: Sequence[str]) -> Change:
    """Make a class consist of exactly *vms*; raises as :func:`build_add_members`."""
    class_name, present = known_class(snapshot, name)
    wanted = _parsed(vms)
    leaving = sorted(present.difference(wanted))
    added = [vm for vm in wanted if vm not in present]
    edits = build_additions(snapshot, class_name, added, author) + build_removals(snapshot, class_name, leaving)
    warnings = () if wanted else (f"class {name!r} has no VMs now",)
    former = former_members(snapshot, class_name).difference(wanted)
    return Change(
        "class.set",
        edits=edits,
        affected=present.union(wanted, former),
        warnings=warnings,
        is_repeatable=True,
        former=former,
    )


def build_delete_class(snapshot: CatalogSnapshot, author: Author, *, name: str, with_shares: bool) -> Change:
    """
    Delete a class.

    Args:
        snapshot: The catalog.
        author: For the records.
        name: The class.
        with_shares: Also when shares are for it: they lose this target, and its members lose them.

    Raises:
        UnknownNameError: There is no such class.
        CatalogError: Shares are for it, and *with_shares* is not given.
    """
    key = class_key(parse_class_name(name))
    if key in snapshot.editions and key not in snapshot.bad and name not in snapshot.members:
        former = former_members(snapshot, ClassName(name))
        warnings = (f"class {name!r} was deleted before",)
        return Change("class.delete", affected=former, warnings=warnings, is_repeatable=True, former=former)
    class_name, present = known_class(snapshot, name)
    using = [
        record
        for record in snapshot.shares.values()
        if any(class_name in edition.targets.classes for edition in record.editions)
    ]
    if using and not with_shares:
        shown = ", ".join(record.share.id for record in using[:5]) + (" …" if len(using) > 5 else "")
        raise CatalogError(
            f"cannot delete class {name!r}: shares are for it ({shown}); take it from them --with-shares"
        )
    edits: list[Edit] = []
    for record in using:
        changed = record.with_editions(partial(_without_class, class_name=class_name))
        changed = msgspec.structs.replace(changed, updated_at=author.at, updated_by=author.who)
        edits.append(record_edit(snapshot, changed))
    edits += build_removals(snapshot, class_name, sorted(present))
    if key in snapshot.editions:
        edits.append(Edit(key, None, snapshot.editions[key]))
    named: frozenset[ShareId] = frozenset(record.share_id for record in using)
    former = former_members(snapshot, class_name)
    return Change(
        "class.delete",
        edits=tuple(edits),
        affected=present | former,
        intent=Intent(named=named),
        is_repeatable=True,
        former=former,
    )


def _without_class(edition: ShareRecord, class_name: ClassName) -> ShareRecord:
    classes = tuple(other for other in edition.targets.classes if other != class_name)
    return msgspec.structs.replace(edition, targets=msgspec.structs.replace(edition.targets, classes=classes))


def known_class(snapshot: CatalogSnapshot, name: str) -> tuple[ClassName, frozenset[VmId]]:
    """
    Find a class and its members.

    Raises:
        UnknownNameError: There is none of this name.
    """
    wanted = parse_class_name(name)
    if wanted not in snapshot.members:
        raise unknown("class", name, snapshot.members)
    return wanted, snapshot.members[wanted]


def former_members(snapshot: CatalogSnapshot, class_name: ClassName) -> frozenset[VmId]:
    """Name the VMs that left a class: a command that took them out may have been interrupted before telling them."""
    prefix = member_key(class_name, VmId(""))
    known = (VmId(key[len(prefix) :]) for key in snapshot.editions if key.startswith(prefix))
    return frozenset(known) - snapshot.members.get(class_name, frozenset())


def _parsed(vms: Iterable[str]) -> list[VmId]:
    return list(dict.fromkeys(parse_vm_id(vm) for vm in vms))


def build_additions(
    snapshot: CatalogSnapshot, class_name: ClassName, vms: Iterable[VmId], author: Author
) -> tuple[Edit, ...]:
    """Build the edits that make *vms*, which are not in the class, members of it."""
    return tuple(build_note(snapshot, member_key(class_name, vm), author) for vm in vms)


def build_removals(snapshot: CatalogSnapshot, class_name: ClassName, vms: Iterable[VmId]) -> tuple[Edit, ...]:
    """Build the edits that take members out of a class."""
    keys = (member_key(class_name, vm) for vm in vms)
    return tuple(Edit(key, None, snapshot.editions[key]) for key in keys)


def build_note(snapshot: CatalogSnapshot, key: str, author: Author) -> Edit:
    """Build the edit that makes an entry which only says who made it, and when."""
    data = msgspec.json.encode({"created_at": author.at, "created_by": author.who})
    return Edit(key, data, snapshot.editions.get(key, 0))
