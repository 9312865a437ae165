"""A catalog file → edits of the catalog (pure): the plan an operator sees, and what performs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from controlplane.class_edits import build_additions, build_note, build_removals
from controlplane.decide import ASK_ABOVE, Intent
from controlplane.document import Document, remote_record, share_record
from controlplane.edits import Author, Change, check_publishable, is_same, record_edit
from controlplane.history import changed_fields
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, Edit, RemoteRecord, ShareRecord, encode_remote, with_edits
from controlplane.remotes import check_remote, resolved
from controlplane.rollout import at_once
from weft.errors import ConfigError, DecodeError, WeftError
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId
from weft.wire.subjects import class_key, remote_key, share_key


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """
    What an import would do.

    Attributes:
        lines: One for each difference, ``+`` new, ``~`` changed, ``-`` removed.
        removes: Whether anything is removed.
        warnings: What the operator should know.
    """

    lines: tuple[str, ...] = ()
    removes: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """A plan while it is put together."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    named: set[ShareId] = field(default_factory=set)
    moved: set[VmId] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def note(self, sign: str, what: str, more: Iterable[str] = ()) -> None:
        """Add a line."""
        detail = ", ".join(more)
        self.lines.append(f"{sign} {what}" + (f": {detail}" if detail else ""))


def build_import(
    snapshot: CatalogSnapshot,
    members: Members,
    document: Document,
    author: Author,
    *,
    prune: bool = False,
    has_roster: bool = False,
) -> tuple[Change, ImportPlan]:
    """
    Make the catalog say what *document* says.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use, where classes are kept elsewhere.
        document: The file; what is not in it stays, unless *prune*.
        author: For the records.
        prune: Also remove what the file does not have.
        has_roster: Whether classes are kept elsewhere; those of the file are left out then.

    Raises:
        ConfigError: Everything in the file that cannot be used.
    """
    draft = _Draft()
    _plan_remotes(draft, snapshot, document, author, prune=prune)
    if has_roster and document.classes:
        draft.warnings.append("classes are kept elsewhere, so those of the file are left out")
    elif not has_roster:
        _plan_classes(draft, snapshot, document, author, prune=prune)
    _plan_shares(draft, snapshot, document, author, prune=prune)
    after = with_edits(snapshot, draft.edits)
    _check(draft, after, document, has_roster=has_roster)
    if draft.problems:
        raise ConfigError(draft.problems)
    later = members if has_roster else after.members
    before = members if has_roster else snapshot.members
    affected = set(draft.moved)
    for share_id in _touched(snapshot, after, draft):
        for record, at in ((snapshot.shares.get(share_id), before), (after.shares.get(share_id), later)):
            affected |= receivers(record, at) if record is not None else frozenset()
    intent = Intent(frozenset(draft.named), ask_above=0.0 if prune else ASK_ABOVE)
    change = Change("import", (), tuple(draft.edits), frozenset(affected), intent)
    removes = any(line.startswith("-") for line in draft.lines)
    plan = ImportPlan(tuple(draft.lines), removes, tuple(draft.warnings))
    return dataclasses.replace(change, warnings=plan.warnings), plan


def _touched(snapshot: CatalogSnapshot, after: CatalogSnapshot, draft: _Draft) -> Iterator[ShareId]:
    """Name the shares that change, themselves or through their remote."""
    edited = {edit.key for edit in draft.edits}
    for share_id in snapshot.shares.keys() | after.shares.keys():
        records = [records.shares.get(share_id) for records in (snapshot, after)]
        remotes = {remote_key(RemoteName(record.remote)) for record in records if record is not None and record.remote}
        if share_key(share_id) in edited or remotes & edited:
            yield share_id


# --- remotes ----------------------------------------------------------------------------------------------------------


def _plan_remotes(draft: _Draft, snapshot: CatalogSnapshot, document: Document, author: Author, *, prune: bool) -> None:
    for name, values in document.remotes.items():
        old = snapshot.remotes.get(name)
        try:
            new = remote_record(name, values, old)
            check_remote(name, new)
        except (ConfigError, DecodeError) as exc:
            draft.problems += _sentences(exc)
            continue
        if old is not None and _content(old) == _content(new):
            continue
        draft.note("~" if old is not None else "+", f"remote {name}")
        stamped = msgspec.structs.replace(new, updated_at=author.at, updated_by=author.who)
        draft.edits.append(_edit(snapshot, remote_key(name), encode_remote(stamped)))
    for name in sorted(snapshot.remotes.keys() - document.remotes.keys()) if prune else ():
        draft.note("-", f"remote {name}")
        draft.edits.append(_edit(snapshot, remote_key(name), None))


def _content(record: RemoteRecord) -> tuple[object, ...]:
    return record.backend, record.block, record.description


# --- classes ----------------------------------------------------------------------------------------------------------


def _plan_classes(draft: _Draft, snapshot: CatalogSnapshot, document: Document, author: Author, *, prune: bool) -> None:
    for name, wanted in sorted(document.classes.items()):
        present = snapshot.members.get(name)
        joining = sorted(wanted - (present or frozenset()))
        leaving = sorted((present or frozenset()) - wanted) if prune else []
        if present is None:
            draft.note("+", f"class {name}", [f"{len(wanted)} VMs"])
            draft.edits.append(build_note(snapshot, class_key(name), author))
        elif joining or leaving:
            counts = [*([f"+{len(joining)} VMs"] if joining else []), *([f"-{len(leaving)} VMs"] if leaving else [])]
            draft.note("-" if leaving else "~", f"class {name}", counts)
        draft.edits += [*build_additions(snapshot, name, joining, author), *build_removals(snapshot, name, leaving)]
        draft.moved.update(joining, leaving)
    for name in sorted(snapshot.members.keys() - document.classes.keys()) if prune else ():
        _drop_class(draft, snapshot, name)


def _drop_class(draft: _Draft, snapshot: CatalogSnapshot, name: ClassName) -> None:
    present = sorted(snapshot.members[name])
    draft.note("-", f"class {name}", [f"{len(present)} VMs"])
    draft.edits += build_removals(snapshot, name, present)
    if class_key(name) in snapshot.editions:
        draft.edits.append(_edit(snapshot, class_key(name), None))
    draft.moved.update(present)


# --- shares -----------------------------------------------------------------------------------------------------------


def _plan_shares(draft: _Draft, snapshot: CatalogSnapshot, document: Document, author: Author, *, prune: bool) -> None:
    for share_id, values in sorted(document.shares.items()):
        old = snapshot.shares.get(share_id)
        try:
            new = share_record(values, old)
            check_publishable(new.share)
            record = _dated(old, new, author)
        except WeftError as exc:
            draft.problems += _sentences(exc)
            continue
        if old is not None and is_same(old, record):
            continue
        draft.named.add(share_id)
        draft.note("~" if old is not None else "+", f"share {share_id}", changed_fields(old, record) if old else ())
        draft.edits.append(record_edit(snapshot, record))
    for share_id in sorted(snapshot.shares.keys() - document.shares.keys()) if prune else ():
        draft.note("-", f"share {share_id}")
        draft.edits.append(_edit(snapshot, share_key(share_id), None))


def _dated(old: ShareRecord | None, new: ShareRecord, author: Author) -> ShareRecord:
    refresh = max(new.share.refresh, old.share.refresh if old is not None else 0)
    at, who = (old.created_at, old.created_by) if old is not None else (author.at, author.who)
    return at_once(
        old,
        msgspec.structs.replace(
            new,
            share=msgspec.structs.replace(new.share, refresh=refresh),
            created_at=new.created_at or at,
            created_by=new.created_by or who,
            updated_at=author.at,
            updated_by=author.who,
        ),
    )


def _check(draft: _Draft, after: CatalogSnapshot, document: Document, *, has_roster: bool) -> None:
    """Find what is named and not there: a class, a remote."""
    for share_id, record in after.shares.items():
        missing = [name for name in record.targets.classes if ClassName(name) not in after.members]
        if missing and not has_roster:
            draft.problems.append(f"cannot import: share {share_id!r} is for class {missing[0]!r}, which is not there")
        try:
            resolved(record, after.remotes)
        except DecodeError as exc:
            draft.problems.append(f"cannot import: share {share_id!r}: {exc}")


def _sentences(exc: WeftError) -> Collection[str]:
    return exc.problems if isinstance(exc, ConfigError) else [str(exc)]


def _edit(snapshot: CatalogSnapshot, key: str, data: bytes | None) -> Edit:
    return Edit(key, data, snapshot.editions.get(key, 0))
