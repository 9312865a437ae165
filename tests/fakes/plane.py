"""A small control plane in memory: what the command line is tried against without a broker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from controlplane.records import RemoteRecord, ShareRecord, Targets
from controlplane.results import FanOut, OnProgress, Outcome, Progress, VmProblem
from controlplane.rollout import Pacing
from controlplane.status import VmView
from weft.errors import CatalogError, ConfirmationNeededError, ErrorCode, UnknownNameError
from weft.wire.digest import share_digest
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState


@dataclass
class FakePlane:
    """
    A catalog, classes and guests that obey at once, except those in *broken* and *silent*.

    Attributes:
        records: The catalog.
        rosters: Members by class.
        broken: VMs whose guests fail every share.
        silent: VMs that never report.
        views: What ``status`` and ``vms`` answer.
        needs_yes: Whether every fan-out asks for confirmation.
        sent: What was sent without being stored.
        connections: The catalog's remotes.
        asked_for: The filters of the last listing.
        paced: In which waves the last share was to go out; here everybody gets it at once.
    """

    records: dict[str, ShareRecord] = field(default_factory=dict)
    rosters: dict[str, tuple[VmId, ...]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    views: list[VmView] = field(default_factory=list)
    needs_yes: bool = False
    sent: list[tuple[ShareMount, tuple[str, ...]]] = field(default_factory=list)
    revision: int = 0
    connections: dict[RemoteName, RemoteRecord] = field(default_factory=dict)
    asked_for: dict[str, Any] = field(default_factory=dict)
    paced: Pacing | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def publish(
        self,
        shares: Sequence[ShareMount],
        *,
        classes: Sequence[str] = (),
        vms: Sequence[str] = (),
        except_vms: Sequence[str] = (),
        only: bool = False,
        disabled: bool = False,
        owner: str = "",
        tenant: str = "",
        description: str = "",
        labels: Mapping[str, str] | None = None,
        remote: str = "",
        pacing: Pacing | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        for name in classes:
            await self.members(name)
        self._ask(assume_yes)
        self.paced = pacing
        expected: dict[VmId, dict[ShareId, str | None]] = {}
        for share in shares:
            old = self.records.get(share.id)
            before = old.targets if old is not None and not only else Targets()
            record = ShareRecord(
                share=share,
                targets=Targets(
                    classes=tuple(sorted({*before.classes, *classes})),
                    vms=tuple(sorted({*before.vms, *vms})),
                    excepted=tuple(except_vms),
                ),
                enabled=not disabled,
                remote=remote,
                owner=owner,
                labels=dict(labels or {}),
            )
            if not dry_run:
                self.records[share.id] = record
            for vm in self._targeted(record):
                expected.setdefault(vm, {})[share.share_id] = share_digest(share)
        return self._stored([share.share_id for share in shares], expected, on_progress)

    async def unpublish(self, share_id: str, **options: Any) -> FanOut:
        record = await self.share(share_id)
        del self.records[share_id]
        return self._stored([ShareId(share_id)], {vm: {ShareId(share_id): None} for vm in self._targeted(record)}, None)

    async def wait(
        self,
        what: FanOut | str,
        *,
        vms: Sequence[str] = (),
        classes: Sequence[str] = (),
        timeout_s: float = 60.0,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        asked = what.vms if isinstance(what, FanOut) else await self.targets(what)
        failed = {
            vm: VmProblem(vm, ShareId("docs"), ShareState.FAILED, ErrorCode.AUTH, "cannot log in to x")
            for vm in asked
            if vm in self.broken
        }
        waiting = {vm: VmProblem(vm, None, None, None, "never reported") for vm in asked if vm in self.silent}
        return Outcome(tuple(vm for vm in asked if vm not in failed and vm not in waiting), failed, waiting)

    async def shares(self, **wanted: Any) -> list[ShareRecord]:
        self.asked_for = wanted
        return list(self.records.values())

    async def remotes(self) -> dict[RemoteName, RemoteRecord]:
        return self.connections

    async def share(self, share_id: str) -> ShareRecord:
        if share_id not in self.records:
            raise UnknownNameError("share", share_id, [name for name in self.records if name[0] == share_id[0]])
        return self.records[share_id]

    async def targets(self, share_id: str) -> tuple[VmId, ...]:
        return self._targeted(await self.share(share_id))

    async def classes(self) -> dict[ClassName, tuple[VmId, ...]]:
        return {ClassName(name): members for name, members in self.rosters.items()}

    async def members(self, name: str) -> tuple[VmId, ...]:
        if name not in self.rosters:
            raise UnknownNameError("class", name, [known for known in self.rosters if known[0] == name[0]])
        return self.rosters[name]

    async def create_class(self, name: str) -> None:
        self.rosters[name] = ()

    async def add_members(self, name: str, vms: Sequence[str], **options: Any) -> FanOut:
        self.rosters[name] = tuple(dict.fromkeys((*await self.members(name), *map(VmId, vms))))
        return self._stored([], {VmId(vm): {} for vm in vms}, None)

    async def set_members(self, name: str, vms: Sequence[str], *, dry_run: bool = False, **options: Any) -> FanOut:
        if not dry_run:
            self.rosters[name] = tuple(map(VmId, vms))
        return self._stored([], {VmId(vm): {} for vm in vms}, None)

    async def delete_class(self, name: str, *, with_shares: bool = False, **options: Any) -> FanOut:
        if not with_shares and any(name in record.targets.classes for record in self.records.values()):
            raise CatalogError(f"cannot delete class {name!r}: shares are for it (--with-shares)")
        del self.rosters[name]
        return FanOut()

    async def vms(self) -> list[VmView]:
        return self.views

    async def status(self, vms: Iterable[str] | None = None) -> list[VmView]:
        wanted = None if vms is None else set(vms)
        return [view for view in self.views if wanted is None or view.vm in wanted]

    async def publish_unstored(self, share: ShareMount, vms: Sequence[str]) -> int:
        self.sent.append((share, tuple(vms)))
        return len(vms)

    def _ask(self, assume_yes: bool) -> None:
        if self.needs_yes and not assume_yes:
            raise ConfirmationNeededError(["vm-1"], ["other"], total=1)

    def _targeted(self, record: ShareRecord) -> tuple[VmId, ...]:
        if not record.enabled:
            return ()
        members = [vm for name in record.targets.classes for vm in self.rosters[name]]
        return tuple(sorted({*members, *map(VmId, record.targets.vms)} - {*map(VmId, record.targets.excepted)}))

    def _stored(
        self,
        share_ids: Sequence[ShareId],
        expected: Mapping[VmId, Mapping[ShareId, str | None]],
        on_progress: OnProgress | None,
    ) -> FanOut:
        self.revision += 1
        if on_progress is not None:
            on_progress(Progress("publish", len(expected), len(expected)))
        return FanOut(tuple(share_ids), stored=dict.fromkeys(expected, self.revision), expected=expected)
