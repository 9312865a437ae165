"""The part of the control plane that knows single VMs, and forgets those that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from controlplane.classes import Classes
from controlplane.commands import Manner
from controlplane.heard import is_stale
from controlplane.jetstream import purge
from controlplane.known import mentioned_vms
from controlplane.reader import QUESTIONS_AT_ONCE
from controlplane.roster import unknown
from controlplane.status import read_heard
from controlplane.survey import read_listed_vms
from controlplane.views import format_length
from controlplane.vm_edits import build_forget
from weft.errors import BrokerDeniedError, CatalogError
from weft.wire.ids import VmId, parse_vm_id
from weft.wire.subjects import MOUNTS_PREFIX, MOUNTS_STREAM, STATUS_PREFIX, STATUS_STREAM, status_subject, subject


@dataclass(frozen=True, slots=True)
class Forgotten:
    """
    What was forgotten.

    Attributes:
        vms: The VMs.
        messages: How many stored lists and reports were removed.
        warnings: What the operator should know.
    """

    vms: tuple[VmId, ...] = ()
    messages: int = 0
    warnings: tuple[str, ...] = ()


class Forgetting(Classes):
    """Forgetting VMs."""

    async def stale_vms(self, age_s: float) -> tuple[VmId, ...]:
        """
        List the VMs whose last report is older than *age_s* seconds by the broker's clock.

        A VM that never reported is not among them: it may be about to.

        Raises:
            BrokerError: The reports could not be read.
        """
        heard, now_s = await read_heard(self._link)
        return tuple(sorted(vm for vm, found in heard.items() if now_s - found.reported_at_s >= age_s))

    async def forget(self, vms: Iterable[str], *, assume_yes: bool = False) -> Forgotten:
        """
        Forget VMs that are gone: classes, targets, stored lists and reports, so that a reused id inherits nothing.

        A guest that is still there keeps what it has mounted, and comes back with its next report.

        Args:
            vms: Which.
            assume_yes: Also those that still report.

        Raises:
            UnknownNameError: Nothing is known of one of them.
            CatalogError: One still reports, and *assume_yes* is not given.
            BrokerDeniedError: These credentials may not remove what is stored; nothing has changed.
            BrokerError: Not everything could be removed; doing it again finishes it.
        """
        wanted = tuple(dict.fromkeys(parse_vm_id(vm) for vm in vms))
        classes = await self._refuse_unknown(wanted)
        if not assume_yes:
            await self._refuse_living(wanted)
        await self._refuse_unless_purging()
        author = self._author()
        await self._commands.perform(
            lambda snapshot, _: build_forget(snapshot, wanted, author), author, Manner(), name=" ".join(wanted)
        )
        subjects = [(MOUNTS_STREAM, subject(vm)) for vm in wanted]
        # Reports go last: while there are any, the VM is known, and forgetting it can be done again.
        messages = await self._purge(subjects) + await self._purge(
            [(STATUS_STREAM, status_subject(vm)) for vm in wanted]
        )
        warnings = tuple(
            f"{vm} is in class {name!r} of a roster elsewhere, which gives it its shares again"
            for name in classes
            for vm in wanted
            if self._roster is not None and vm in classes[name]
        )
        return Forgotten(wanted, messages, warnings)

    async def _refuse_unless_purging(self) -> None:
        """
        Meet the refusal before anything has changed: only an admin may remove what is stored.

        No VM can have the subject that is purged here.
        """
        for stream, name in ((MOUNTS_STREAM, f"{MOUNTS_PREFIX}-"), (STATUS_STREAM, f"{STATUS_PREFIX}-")):
            try:
                await purge(self._link, stream, name)
            except BrokerDeniedError as exc:
                raise BrokerDeniedError(
                    "cannot forget a VM: these credentials may remove nothing that is stored"
                    " (use an admin's: weft auth admin NAME --out FILE)"
                ) from exc

    async def _refuse_unknown(self, wanted: Iterable[VmId]) -> dict[str, frozenset[VmId]]:
        classes = {str(name): frozenset(members) for name, members in (await self.classes()).items()}
        snapshot = await self._catalog.load()
        known = mentioned_vms(snapshot).union(await read_listed_vms(self._link), *classes.values())
        excepted = {
            VmId(vm) for record in snapshot.shares.values() for out in record.editions for vm in out.targets.excepted
        }
        for vm in wanted:
            if vm not in known | excepted:
                raise unknown("VM", vm, known)
        return classes

    async def _refuse_living(self, wanted: Collection[VmId]) -> None:
        heard, now_s = await read_heard(self._link, wanted)
        for vm, found in heard.items():
            age_s = max(0.0, now_s - found.reported_at_s)
            if found.status is not None and not is_stale(found.status, age_s):
                raise CatalogError(
                    f"cannot forget {vm} unasked: it reported {format_length(age_s)} ago, so it is still there,"
                    " keeps its shares and comes back (confirm with --yes)"
                )

    async def _purge(self, subjects: Iterable[tuple[str, str]]) -> int:
        gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

        async def one(stream: str, name: str) -> int:
            async with gate:
                return await purge(self._link, stream, name)

        return sum(await asyncio.gather(*(one(stream, name) for stream, name in subjects)))
