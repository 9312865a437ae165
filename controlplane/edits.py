"""Operators' commands → edits of the catalog (pure): what changes, whom it concerns, and what to warn about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import msgspec

from controlplane.decide import Intent
from controlplane.projection import Members, receivers, targeted
from controlplane.records import CatalogSnapshot, Edit, RemoteRecord, ShareRecord, Targets, encode_record
from controlplane.remotes import own_part
from controlplane.rollout import Pacing, at_once, begin
from controlplane.roster import unknown
from weft.errors import CatalogError, DecodeError
from weft.wire.ids import ClassName, ShareId, VmId, parse_class_name, parse_remote_name, parse_share_id, parse_vm_id
from weft.wire.paths import find_objection
from weft.wire.references import find_misplaced, find_references
from weft.wire.share import Action, ShareMount
from weft.wire.subjects import share_key


@dataclass(frozen=True, slots=True)
class Author:
    """
    Who changes the catalog, and when.

    Attributes:
        who: What is noted: the user's name, and on whose behalf.
        at: When.
        checked: The name under which the broker lets this user write, and no other; empty where it checks none.
    """

    who: str
    at: datetime
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Audience:
    """
    Whom a command is for.

    Attributes:
        classes: Classes named.
        vms: VMs named.
        except_vms: VMs that must not get it.
        only: Whether these replace the targets there were.
    """

    classes: tuple[ClassName, ...] = ()
    vms: tuple[VmId, ...] = ()
    except_vms: tuple[VmId, ...] = ()
    only: bool = False


@dataclass(frozen=True, slots=True)
class Details:
    """What is noted about a share beside itself; empty means: as it was."""

    owner: str = ""
    tenant: str = ""
    description: str = ""
    labels: Mapping[str, str] | None = None
    disabled: bool = False
    remote: str = ""
    """Remote that completes the block; empty for a share that says everything itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    One command, ready to be performed.

    Attributes:
        action: Its name in the audit.
        share_ids: Shares it is about; empty where it is about whole lists.
        edits: What changes in the catalog.
        affected: VMs whose list may differ afterwards.
        intent: What of the outcome was asked for by name.
        warnings: What an operator should know.
        is_repeatable: Whether it means the same after somebody else changed the share meanwhile.
        settled: Shares of which the catalog says already what was asked. The same command may have been interrupted
            before every VM was told, so whoever was sent one of them is concerned too.
        former: VMs among those affected that left earlier: they count only where an interrupted command left them
            something.
    """

    action: str
    share_ids: tuple[ShareId, ...] = ()
    edits: tuple[Edit, ...] = ()
    affected: frozenset[VmId] = frozenset()
    intent: Intent = field(default_factory=Intent)
    warnings: tuple[str, ...] = ()
    is_repeatable: bool = False
    settled: frozenset[ShareId] = frozenset()
    former: frozenset[VmId] = frozenset()


def parse_audience(
    *, classes: Iterable[str] = (), vms: Iterable[str] = (), except_vms: Iterable[str] = (), only: bool = False
) -> Audience:
    """
    Check the names an operator gave.

    Raises:
        SubjectError: One is no subject token.
    """
    return Audience(
        classes=tuple(dict.fromkeys(parse_class_name(name) for name in classes)),
        vms=tuple(dict.fromkeys(parse_vm_id(vm) for vm in vms)),
        except_vms=tuple(dict.fromkeys(parse_vm_id(vm) for vm in except_vms)),
        only=only,
    )


def build_publish(
    snapshot: CatalogSnapshot,
    members: Members,
    shares: Sequence[ShareMount],
    audience: Audience,
    details: Details,
    author: Author,
    pacing: Pacing | None = None,
) -> Change:
    """
    Create or replace *shares*.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use and of those named; they all exist.
        shares: At least one, each id once.
        audience: Targets to add, or to have only.
        details: What to note.
        author: For the record.
        pacing: In which waves, None for everybody at once.

    Raises:
        UnknownNameError: There is no such remote.
        CatalogError: A new share has no targets, an id stands twice, or a rollout stands in the way.
        DecodeError: A share asks to be unmounted, or for a system directory.
    """
    edits: list[Edit] = []
    affected: set[VmId] = set()
    settled: set[ShareId] = set()
    takes_away = audience.only or audience.except_vms or details.disabled
    for share in without_remote(snapshot, shares, details.remote):
        check_publishable(share)
        old = snapshot.shares.get(share.share_id)
        if share.share_id in snapshot.bad_shares and not audience.only:
            raise CatalogError(
                f"cannot publish share {share.id!r}: its record cannot be read, so nobody knows who has it"
                f" ({snapshot.bad_shares[share.share_id]}); say for whom it is from now on with --only"
            )
        if old is None and not audience.vms and not audience.classes and not details.disabled:
            raise CatalogError(
                f"cannot publish share {share.id!r}: it is new, so say for whom (--class, --vm), or save it --disabled"
            )
        new = published(old, share, audience, details, author)
        if pacing is None:
            new = at_once(old, new, partial(targets_with, audience=audience))
        elif old is None or not is_same(old, new):
            new = _in_waves(old, new, members, pacing)
        affected |= receivers(new, members) | (receivers(old, members) if old is not None else frozenset())
        if old is None or not is_same(old, new):
            edits.append(record_edit(snapshot, new))
        elif takes_away:
            settled.add(new.share_id)
    ids = tuple(share.share_id for share in shares)
    if len(set(ids)) < len(ids):
        raise CatalogError("cannot publish two shares with one id at once")
    changed = shares[0] if len(shares) == 1 else None
    warnings = [f"class {name!r} has no VMs yet" for name in audience.classes if not members.get(name)]
    intent = Intent(frozenset(ids), changed=changed)
    return Change(
        "publish", ids, tuple(edits), frozenset(affected), intent, tuple(warnings), settled=frozenset(settled)
    )


def _in_waves(old: ShareRecord | None, new: ShareRecord, members: Members, pacing: Pacing) -> ShareRecord:
    if not new.enabled or new.updated_at is None:
        raise CatalogError(f"cannot roll out share {new.share.id!r}: it is saved disabled, so nobody gets it")
    everybody = targeted(new, members) | (receivers(old, members) if old is not None else frozenset())
    return begin(old, new, pacing, everybody, new.updated_at)


def without_remote(snapshot: CatalogSnapshot, shares: Iterable[ShareMount], name: str) -> list[ShareMount]:
    """
    Leave out of *shares* what remote *name* will give them; they stay as they are where the name is empty.

    Raises:
        UnknownNameError: There is no such remote.
        DecodeError: A share has another backend, or says itself what the remote says.
    """
    if not name:
        return list(shares)
    remote = find_remote(snapshot, name)
    return [own_part(share, name, remote) for share in shares]


def find_remote(snapshot: CatalogSnapshot, name: str) -> RemoteRecord:
    """
    Find a remote.

    Raises:
        UnknownNameError: There is none; the error names those that look alike.
        SubjectError: The name is no subject token.
    """
    wanted = parse_remote_name(name)
    if wanted not in snapshot.remotes:
        raise unknown("remote", name, snapshot.remotes)
    return snapshot.remotes[wanted]


def check_publishable(share: ShareMount) -> None:
    if share.is_unmount:
        raise DecodeError(f"cannot publish share {share.id!r} with action unmount (unpublish it)", field="action")
    objection = find_objection(share.mount_point)
    if objection is not None:
        text = f"cannot mount share {share.id!r} at {share.mount_point}: {objection}"
        raise DecodeError(text, field="mount_point", share_id=share.id)
    misplaced = find_misplaced(find_references(share), f"share {share.id!r}")
    if misplaced is not None:
        raise DecodeError(misplaced, field=share.backend_name, share_id=share.id)


def record_edit(snapshot: CatalogSnapshot, record: ShareRecord) -> Edit:
    """Build the edit that stores *record* over the edition in *snapshot*."""
    key = share_key(record.share_id)
    return Edit(key, encode_record(record), snapshot.editions.get(key, 0))


def published(
    old: ShareRecord | None, share: ShareMount, audience: Audience, details: Details, author: Author
) -> ShareRecord:
    """Build the record of *share* after it was published to *audience*; what is not said stays as in *old*."""
    before = old or ShareRecord(share=share, created_at=author.at, created_by=author.who)
    return msgspec.structs.replace(
        before,
        # A publish that says nothing of refresh must not take back what a refresh has raised.
        share=msgspec.structs.replace(share, action=Action.DEFAULT, refresh=max(share.refresh, before.share.refresh)),
        remote=details.remote,
        targets=targets_with(before.targets, audience),
        owner=details.owner or before.owner,
        tenant=details.tenant or before.tenant,
        description=details.description or before.description,
        labels=before.labels if details.labels is None else dict(details.labels),
        enabled=not details.disabled,
        updated_at=author.at,
        updated_by=author.who,
    )


def targets_with(targets: Targets, audience: Audience) -> Targets:
    """Add *audience* to *targets*, or put it in their place; a VM named now is no exception any more."""
    if audience.only:
        targets = Targets(extra=targets.extra)
    excepted = (set(targets.excepted) - set(audience.vms)) | set(audience.except_vms)
    return msgspec.structs.replace(
        targets,
        vms=tuple(sorted({*targets.vms, *audience.vms} - set(audience.except_vms))),
        classes=tuple(sorted({*targets.classes, *audience.classes})),
        excepted=tuple(sorted(excepted)),
    )


def is_same(old: ShareRecord, new: ShareRecord) -> bool:
    """Say whether two records differ at most in who changed them last."""

    def content(record: ShareRecord) -> ShareRecord:
        return msgspec.structs.replace(record, updated_at=None, updated_by="")

    return encode_record(content(old)) == encode_record(content(new))


def build_unpublish(
    snapshot: CatalogSnapshot, members: Members, share_id: str, audience: Audience, author: Author
) -> Change:
    """
    End a share, or take it from the VMs and classes named.

    A VM that a class still gives the share becomes an exception, so that afterwards it does not have it.

    Raises:
        UnknownNameError: There is no such share.
    """
    wanted = parse_share_id(share_id)
    record = snapshot.shares.get(wanted)
    key = share_key(wanted)
    if key not in snapshot.editions:
        raise unknown("share", share_id, snapshot.shares)
    edition = snapshot.editions[key]
    intent = Intent(frozenset({wanted}), changed=record.share if record is not None else None)
    if record is None and key not in snapshot.bad:
        warnings = [f"share {share_id!r} was unpublished before"]
        return Change("unpublish", (wanted,), intent=intent, warnings=tuple(warnings), settled=frozenset({wanted}))
    if record is None or not (audience.vms or audience.classes):
        affected = receivers(record, members) if record is not None else frozenset()
        return Change("unpublish", (wanted,), (Edit(key, None, edition),), affected, intent)
    before = receivers(record, members)
    warnings = [f"{vm} does not have share {share_id!r}" for vm in audience.vms if vm not in before]
    warnings += [
        f"share {share_id!r} is not for class {name!r}"
        for name in audience.classes
        if name not in record.targets.classes
    ]
    new = without(record, members, audience, author)
    edits = () if is_same(record, new) else (record_edit(snapshot, new),)
    affected = (before ^ receivers(new, members)) | frozenset(audience.vms)
    settled = frozenset() if edits else frozenset({wanted})
    return Change("unpublish", (wanted,), edits, affected, intent, tuple(warnings), settled=settled)


def without(record: ShareRecord, members: Members, audience: Audience, author: Author) -> ShareRecord:
    """Build *record* such that the classes and VMs of *audience* do not get it."""

    def taken(edition: ShareRecord) -> ShareRecord:
        return msgspec.structs.replace(edition, targets=_targets_without(edition.targets, members, audience))

    changed = record.with_editions(taken)
    return msgspec.structs.replace(changed, updated_at=author.at, updated_by=author.who)


def _targets_without(targets: Targets, members: Members, audience: Audience) -> Targets:
    classes = tuple(name for name in targets.classes if name not in audience.classes)
    by_class = frozenset().union(*(members.get(ClassName(name), frozenset()) for name in classes))
    return msgspec.structs.replace(
        targets,
        vms=tuple(vm for vm in targets.vms if vm not in audience.vms),
        classes=classes,
        excepted=tuple(sorted({*targets.excepted, *(vm for vm in audience.vms if vm in by_class)})),
    )
