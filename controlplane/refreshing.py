"""The part of the control plane that makes guests look again: new content is there, or a failure was mended."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from controlplane.classes import Classes
from controlplane.commands import Manner
from controlplane.convergence import Goal, judge
from controlplane.edits import Change, parse_audience
from controlplane.projection import Members, project, receivers
from controlplane.records import CatalogSnapshot, ShareRecord
from controlplane.refresh import build_refresh, find_record
from controlplane.results import FanOut, OnProgress
from controlplane.status import read_heard
from weft.wire.ids import VmId


class Refreshing(Classes):
    """Refreshing and retrying shares."""

    async def refresh(
        self,
        share_id: str,
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Say that a share has new content: guests drop what they cached of it, and remount nothing.

        Where it failed or waits, it is tried again now. A CubeFS client cannot be told; it shows new content when its
        own cache times end.

        Args:
            share_id: The share.
            classes: Only for members of these.
            vms: Only for these.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            UnknownNameError: No such share or class.
            CatalogError, BrokerError: As ``publish``.
        """
        manner = Manner(False, assume_yes, on_progress)
        return await self._raise_number("refresh", share_id, await self._chosen(classes, vms), manner)

    async def retry(
        self,
        share_id: str,
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Have a share tried again now wherever it is not as it should be; the others do not notice.

        Returns:
            What became of the VMs that lack it. Where none does, all of them, unchanged.

        Raises:
            UnknownNameError, CatalogError, BrokerError: As :meth:`refresh`.
        """
        chosen = await self._chosen(classes, vms)
        goals = await self._goals_of_share(share_id)
        asked = {vm: goal for vm, goal in goals.items() if chosen is None or vm in chosen}
        heard, _ = await read_heard(self._link, asked)
        lacking = frozenset(
            vm for vm, goal in asked.items() if judge(vm, goal, heard[vm].status if vm in heard else None) is not None
        )
        if lacking or not asked:
            manner = Manner(False, assume_yes, on_progress)
            return await self._raise_number("retry", share_id, lacking or chosen, manner)
        return FanOut(
            share_ids=(find_record(await self._catalog.load(), share_id).share_id,),
            unchanged=dict.fromkeys(asked, 0),
            expected={vm: goal.shares for vm, goal in asked.items()},
            warnings=("nothing to try again: every VM has it",),
        )

    async def _raise_number(self, action: str, share_id: str, vms: Collection[VmId] | None, manner: Manner) -> FanOut:
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_refresh(snapshot, members, share_id, author, vms=vms, action=action)

        return await self._commands.perform(build, author, manner)

    async def _chosen(self, classes: Iterable[str], vms: Iterable[str]) -> frozenset[VmId] | None:
        """Return the VMs named, one by one or by class; None where nobody is."""
        audience = parse_audience(classes=classes, vms=vms)
        if not audience.vms and not audience.classes:
            return None
        members = [await self.members(name) for name in audience.classes]
        return frozenset(audience.vms).union(*members)

    async def _goals_of_share(self, share_id: str) -> dict[VmId, Goal]:
        """Say what each VM that gets a share must report to have it; raises as :meth:`refresh`."""
        snapshot = await self._catalog.load()
        record: ShareRecord = find_record(snapshot, share_id)
        members = await self._publisher.members(snapshot)
        only_it = dataclasses.replace(snapshot, shares={record.share_id: record}, bad={})
        projection = project(only_it, members, receivers(record, members))
        goals = {vm: Goal(shares={share.id: share.digest}) for vm, (share,) in projection.lists.items()}
        return goals | {vm: Goal(failure=problem) for vm, problem in projection.problems.items()}
