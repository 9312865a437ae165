"""What the catalog holds, as pure values: share records, their targets, and the text they are stored as."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import msgspec

from controlplane.identity import IDENTITY_KEY, decode_identity
from weft.errors import DecodeError, SubjectError
from weft.wire.codec import decode_object
from weft.wire.fields import Change, Secrecy, declare
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId, parse_class_name, parse_vm_id
from weft.wire.mountset import CatalogMark
from weft.wire.share import ShareMount, share_to_builtins
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins


def _says(text: str) -> msgspec.Meta:
    return declare(text, change=Change.NONE)


class Targets(Tolerant, frozen=True, kw_only=True):
    """Which VMs a share is for: those named, those in the classes, without the excepted ones."""

    vms: Annotated[tuple[str, ...], _says("VMs named one by one.")] = ()
    classes: Annotated[tuple[str, ...], _says("Classes whose members get it.")] = ()
    excepted: Annotated[tuple[str, ...], _says("VMs that do not get it, whatever names them.")] = msgspec.field(
        default=(), name="except"
    )

    def __post_init__(self) -> None:
        try:
            for vm in (*self.vms, *self.excepted):
                parse_vm_id(vm)
            for name in self.classes:
                parse_class_name(name)
        except SubjectError as exc:
            raise DecodeError(str(exc), field="targets") from exc

    @property
    def is_empty(self) -> bool:
        """Whether nobody is named."""
        return not self.vms and not self.classes


class RolloutState(enum.StrEnum):
    """Where a rollout stands: on its way, held by an operator, stopped by failures, or through."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"


class Rollout(Tolerant, frozen=True, kw_only=True):
    """
    A new edition on its way through its VMs; those not reached keep the edition before.

    VMs stand in a fixed order, and the rollout has come as far as *cutoff* in it. Who joins meanwhile takes a place in
    that order too, and waits for it like everybody else.
    """

    state: Annotated[RolloutState, _says("Where it stands.")]
    waves: Annotated[tuple[int, ...], _says("Percent of the VMs that have it after each wave; the last is 100.")]
    canary: Annotated[int, _says("VMs that get it before the first wave; none of them may fail.")] = 0
    max_failed: Annotated[int, _says("Failed VMs that do not stop it.")] = 0
    tolerated: Annotated[int, _says("Failed VMs that do not stop the step it is at.")] = 0
    patience_s: Annotated[float, _says("Seconds after which a VM that reports but has not converged has failed.")] = 60
    step: Annotated[int, _says("Steps begun before this one; the canary is the first where there is one.")] = 0
    cutoff: Annotated[str, _says("Place in the order of VMs up to which they have it.")] = ""
    problem: Annotated[str, _says("Why it stopped.")] = ""
    step_at: Annotated[datetime | None, _says("When this step began.")] = None
    started_at: Annotated[datetime | None, _says("When it began.")] = None
    started_by: Annotated[str, _says("Who began it.")] = ""
    previous: Annotated[
        ShareRecord | None, _says("The edition before, none where the share is new; dropped at the end.")
    ] = None

    @property
    def is_open(self) -> bool:
        """Whether two editions are out."""
        return self.state is not RolloutState.DONE


class RemoteRecord(Tolerant, frozen=True, kw_only=True):
    """A named connection without a path: the shares that name it get it whenever lists are computed."""

    backend: Annotated[str, _says("Its driver.")]
    block: Annotated[
        dict[str, Any],
        declare("The driver's block, without a path.", change=Change.NONE, secrecy=Secrecy.SECRET_VALUES),
    ] = {}  # noqa: RUF012
    description: Annotated[str, _says("What it is for.")] = ""
    created_at: Annotated[datetime | None, _says("When it was made.")] = None
    created_by: Annotated[str, _says("By whom.")] = ""
    updated_at: Annotated[datetime | None, _says("When it was last changed.")] = None
    updated_by: Annotated[str, _says("By whom.")] = ""


class ShareRecord(Tolerant, frozen=True, kw_only=True):
    """One share as operators asked for it; what guests get is computed from it."""

    share: Annotated[ShareMount, _says("What to mount, with {vm} where the VM's id goes.")]
    remote: Annotated[str, _says("Remote that completes its block; empty for a share that says everything itself.")] = (
        ""
    )
    targets: Annotated[Targets, _says("Who gets it.")] = Targets()
    owner: Annotated[str, _says("Who it belongs to; for finding, not for isolation.")] = ""
    tenant: Annotated[str, _says("Group of owners; for finding, not for isolation.")] = ""
    description: Annotated[str, _says("What it is for.")] = ""
    labels: Annotated[dict[str, str], _says("Names and values to find it by.")] = {}  # noqa: RUF012
    enabled: Annotated[bool, _says("Whether anybody gets it; a disabled share is only saved.")] = True
    refreshes: Annotated[
        dict[str, int], _says("VMs whose own refresh number is higher than the share's, after a refresh of a few.")
    ] = {}  # noqa: RUF012
    rollout: Annotated[Rollout | None, _says("How far this edition has come, where it goes in waves.")] = None
    created_at: Annotated[datetime | None, _says("When it was first published.")] = None
    created_by: Annotated[str, _says("By whom.")] = ""
    updated_at: Annotated[datetime | None, _says("When it was last changed.")] = None
    updated_by: Annotated[str, _says("By whom.")] = ""

    @property
    def share_id(self) -> ShareId:
        """The share's id."""
        return self.share.share_id

    @property
    def open_rollout(self) -> Rollout | None:
        """The rollout under way, if there is one."""
        return self.rollout if self.rollout is not None and self.rollout.is_open else None

    @property
    def editions(self) -> tuple[ShareRecord, ...]:
        """Every edition that is out: this one, and the one before it while a rollout is under way."""
        rollout = self.open_rollout
        return (self, rollout.previous) if rollout is not None and rollout.previous is not None else (self,)

    def with_editions(self, change: Callable[[ShareRecord], ShareRecord]) -> ShareRecord:
        """Apply *change* to every edition that is out."""
        changed = change(self)
        if self.rollout is None or self.rollout.previous is None:
            return changed
        rollout = msgspec.structs.replace(self.rollout, previous=change(self.rollout.previous))
        return msgspec.structs.replace(changed, rollout=rollout)

    def is_refreshed_for(self, vm: VmId) -> bool:
        """Say whether *vm* gets a higher refresh number than everybody else."""
        return self.refreshes.get(vm, 0) > self.share.refresh

    def share_for(self, vm: VmId, share: ShareMount) -> ShareMount:
        """Return *share*, this record's with its remote, as *vm* gets it, with ``{vm}`` still in place."""
        if not self.is_refreshed_for(vm):
            return share
        return msgspec.structs.replace(share, refresh=self.refreshes[vm])


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """
    The catalog as of one sequence.

    Attributes:
        id: The catalog's identity, ``""`` for one that was never initialised.
        seq: Everything up to this sequence has been read.
        shares: Records by id.
        members: VMs of each class that exists.
        remotes: Connections without a path, by name.
        vms: What is noted about VMs, as stored.
        editions: For every key ever written, the sequence of its last edition, deletions included.
        bad: Keys whose entry cannot be read, and why.
        predecessors: Catalogs that this one continues: whose messages, up to which sequence, it knows about.
    """

    id: str = ""
    seq: int = 0
    shares: Mapping[ShareId, ShareRecord] = field(default_factory=dict)
    members: Mapping[ClassName, frozenset[VmId]] = field(default_factory=dict)
    remotes: Mapping[RemoteName, RemoteRecord] = field(default_factory=dict)
    vms: Mapping[VmId, Mapping[str, Any]] = field(default_factory=dict)
    editions: Mapping[str, int] = field(default_factory=dict)
    bad: Mapping[str, str] = field(default_factory=dict)
    predecessors: Mapping[str, int] = field(default_factory=dict)

    def knows(self, mark: CatalogMark) -> bool:
        """Say whether everything that a message with *mark* was computed from has been read."""
        return mark.seq <= (self.seq if mark.id == self.id else self.predecessors.get(mark.id, -1))

    @property
    def bad_shares(self) -> dict[ShareId, str]:
        """Ids whose record cannot be read, and why."""
        return {ShareId(key.removeprefix("share.")): why for key, why in self.bad.items() if key.startswith("share.")}


@dataclass(frozen=True, slots=True)
class Edit:
    """
    A change of one catalog entry.

    Attributes:
        key: The entry.
        data: Its new text, None to delete it.
        expected_seq: The edition it replaces, 0 where there was never one.
    """

    key: str
    data: bytes | None = field(repr=False)
    expected_seq: int


def encode_record(record: ShareRecord) -> bytes:
    """Write a share record as the catalog stores it."""
    return msgspec.json.encode({**to_builtins(record), "share": share_to_builtins(record.share)})


def decode_record(data: bytes) -> ShareRecord:
    """
    Read a share record.

    Raises:
        DecodeError: It breaks the contract.
    """
    return from_builtins(ShareRecord, decode_object(data, what="share record"), what="share record")


def encode_remote(record: RemoteRecord) -> bytes:
    """Write a remote as the catalog stores it."""
    return msgspec.json.encode(to_builtins(record))


def decode_remote(data: bytes) -> RemoteRecord:
    """
    Read a remote.

    Raises:
        DecodeError: It breaks the contract.
    """
    return from_builtins(RemoteRecord, decode_object(data, what="remote"), what="remote")


def with_edits(snapshot: CatalogSnapshot, edits: Iterable[Edit]) -> CatalogSnapshot:
    """Return *snapshot* as it will be once *edits* are made; its sequence stays."""
    shares = dict(snapshot.shares)
    members = {name: set(vms) for name, vms in snapshot.members.items()}
    remotes = dict(snapshot.remotes)
    bad = dict(snapshot.bad)
    for edit in edits:
        kind, _, name = edit.key.partition(".")
        bad.pop(edit.key, None)
        match kind:
            case "share" if edit.data is None:
                shares.pop(ShareId(name), None)
            case "share":
                shares[ShareId(name)] = decode_record(edit.data or b"")
            case "class" if edit.data is None:
                members.pop(ClassName(name), None)
            case "class":
                members.setdefault(ClassName(name), set())
            case "member":
                class_name, _, vm = name.partition(".")
                if edit.data is None:
                    members.get(ClassName(class_name), set()).discard(VmId(vm))
                else:
                    members.setdefault(ClassName(class_name), set()).add(VmId(vm))
            case "remote" if edit.data is None:
                remotes.pop(RemoteName(name), None)
            case "remote":
                remotes[RemoteName(name)] = decode_remote(edit.data or b"")
            case "meta" if edit.key == IDENTITY_KEY and edit.data is not None:
                identity = decode_identity(edit.data)
                snapshot = dataclasses.replace(snapshot, id=identity.id, predecessors=identity.continues)
            case _:
                continue
    frozen = {name: frozenset(vms) for name, vms in members.items()}
    return dataclasses.replace(snapshot, shares=shares, members=frozen, remotes=remotes, bad=bad)
