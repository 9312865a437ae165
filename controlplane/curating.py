"""The part of the control plane that looks after saved shares: finding, single fields, on and off, earlier editions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controlplane.assign import find_field
from controlplane.commands import Manner
from controlplane.edits import Author, Change, parse_audience
from controlplane.filters import ShareFilter
from controlplane.history import Edition, choose_edition, read_history
from controlplane.part import Part
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, ShareRecord
from controlplane.refresh import find_record
from controlplane.results import FanOut, OnProgress
from controlplane.roster import unknown
from controlplane.share_edits import Notes, build_enable, build_rollback, build_update
from weft.wire.ids import ClassName, ShareId, VmId, parse_share_id
from weft.wire.paths import parse_mount_point
from weft.wire.subjects import share_key


class Curating(Part):
    """Finding and changing what is saved."""

    async def shares(
        self,
        *,
        owner: str = "",
        tenant: str = "",
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        labels: Mapping[str, str] | None = None,
        backend: str = "",
        at: str = "",
        remote: str = "",
    ) -> list[ShareRecord]:
        """
        List the shares of the catalog by id; all of them, or those that have everything asked for.

        Args:
            owner: Their owner.
            tenant: Their tenant.
            classes: They are for one of these classes.
            vms: They are for one of these VMs, by name or by class.
            labels: They have all these labels; an empty value stands for any.
            backend: Their backend.
            at: They are mounted at this path or below.
            remote: The remote that completes them.

        Raises:
            DecodeError: *at* is no absolute path.
            RosterError: Who is in a class had to be known, and the roster failed.
            CatalogError, BrokerError: The catalog cannot be read.
        """
        audience = parse_audience(classes=classes, vms=vms)
        place = parse_mount_point(at) if at and at != "/" else None
        wanted = ShareFilter(owner, tenant, audience.classes, audience.vms, labels or {}, backend, place, remote)
        snapshot = await self._catalog.load()
        members: Members = {}
        if wanted.needs_members:
            named = {ClassName(name) for record in snapshot.shares.values() for name in record.targets.classes}
            members = await self._publisher.members(snapshot, named)
        return [record for record in snapshot.shares.values() if wanted.matches(record, members)]

    async def share(self, share_id: str) -> ShareRecord:
        """
        Find one share.

        Raises:
            UnknownNameError: There is none; the error names those that look alike.
            CatalogError, BrokerError: The catalog cannot be read.
        """
        return find_record(await self._catalog.load(), share_id)

    async def targets(self, share_id: str) -> tuple[VmId, ...]:
        """List the VMs that get a share; nobody gets a disabled one. Raises as :meth:`share`."""
        snapshot = await self._catalog.load()
        record = find_record(snapshot, share_id)
        return tuple(sorted(receivers(record, await self._publisher.members(snapshot))))

    async def update(
        self,
        share_id: str,
        fields: Mapping[str, Any] | None = None,
        *,
        owner: str | None = None,
        tenant: str | None = None,
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Change single fields of a share, for example a rotated token, and fan it out.

        Args:
            share_id: The share.
            fields: Values by dotted name, as ``{"rclone.config.token": "…"}``; None removes a field.
            owner: Noted for finding; None for as it was, like the next three.
            tenant: Noted for finding.
            description: Noted.
            labels: Labels to add or replace; an empty value removes one.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            UnknownNameError: No such share.
            ConfigError: No such field, or it belongs to the share's remote.
            DecodeError: The result breaks the contract.
            CatalogConflictError: Somebody else changed the share meanwhile; their edit stands.
            CatalogError, BrokerError: As ``publish``.
        """
        assignments = [(find_field(name), value) for name, value in (fields or {}).items()]
        notes = Notes(owner, tenant, description, labels)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_update(snapshot, members, share_id, assignments, notes, author)

        return await self._curate(build, author, share_id, Manner(dry_run, assume_yes, on_progress))

    async def enable(self, share_id: str, *, assume_yes: bool = False, on_progress: OnProgress | None = None) -> FanOut:
        """Mount a saved share wherever it belongs; raises as :meth:`update`."""
        return await self._switch(share_id, True, Manner(False, assume_yes, on_progress))

    async def disable(
        self, share_id: str, *, assume_yes: bool = False, on_progress: OnProgress | None = None
    ) -> FanOut:
        """Keep a share saved, with its targets, and mounted nowhere; raises as :meth:`update`."""
        return await self._switch(share_id, False, Manner(False, assume_yes, on_progress))

    async def _switch(self, share_id: str, enabled: bool, manner: Manner) -> FanOut:
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_enable(snapshot, members, share_id, author, enabled=enabled)

        return await self._curate(build, author, share_id, manner)

    async def history(self, share_id: str) -> list[Edition]:
        """
        List the editions of a share that are kept, oldest first, also of one that was ended.

        Raises:
            UnknownNameError: There never was one, as far as is known.
            CatalogError, BrokerError: The catalog cannot be read.
        """
        wanted = parse_share_id(share_id)
        return await read_history(self._link, wanted, at_least=await self._edition(wanted))

    async def rollback(
        self,
        share_id: str,
        *,
        to: int | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Bring an earlier edition of a share back, with its targets, also of one that was ended.

        Args:
            share_id: The share.
            to: The edition's number; None for the last one that differs from the present.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            UnknownNameError: There never was such a share, or a class or remote of the edition is gone.
            CatalogError: There is no such edition.
            CatalogConflictError: Somebody else changed the share meanwhile; their edit stands.
            BrokerError: As ``publish``.
        """
        wanted = parse_share_id(share_id)
        seen = await self._edition(wanted)
        edition = choose_edition(wanted, await read_history(self._link, wanted, at_least=seen), to)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_rollback(snapshot, members, wanted, edition, author)

        classes = tuple(ClassName(name) for name in edition.targets.classes)
        return await self._curate(build, author, share_id, Manner(dry_run, assume_yes, on_progress), classes)

    async def _edition(self, share_id: ShareId) -> int:
        snapshot = await self._catalog.load()
        number = snapshot.editions.get(share_key(share_id))
        if number is None:
            raise unknown("share", share_id, snapshot.shares)
        return number

    async def _curate(
        self,
        build: Callable[[CatalogSnapshot, Members], Change],
        author: Author,
        share_id: str,
        manner: Manner,
        classes: tuple[ClassName, ...] = (),
    ) -> FanOut:
        return await self._commands.perform(
            build, author, manner, name=share_id, about=[parse_share_id(share_id)], classes=classes
        )
