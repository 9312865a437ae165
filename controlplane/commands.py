"""Performing a command: built from a catalog that was read after the VMs' messages, repeated where others interfere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from controlplane.audit import note_change
from controlplane.catalog import Catalog
from controlplane.decide import Survey, check_mark
from controlplane.edits import Author, Change
from controlplane.known import concerned_vms, lingering, narrowed, warn_never_heard, warn_of_clock
from controlplane.messages import LastMessage
from controlplane.patience import patiently
from controlplane.projection import Members
from controlplane.publisher import AskMembers, Publisher
from controlplane.records import CatalogSnapshot, with_edits
from controlplane.results import FanOut, OnProgress, Progress
from controlplane.survey import read_newest, read_reporting_vms, read_survey, read_whole_survey
from weft.errors import CatalogConflictError
from weft.link import Link
from weft.wire.ids import ClassName, ShareId, VmId

ATTEMPTS = 5
"""Each attempt that fails means that another operator's change came in between."""

Build = Callable[[CatalogSnapshot, Members], Change]


@dataclasses.dataclass(frozen=True, slots=True)
class Manner:
    """
    How a command is performed.

    Attributes:
        dry_run: Only say what would be done.
        assume_yes: Do not ask, even if many VMs lose something that was not named.
        on_progress: Told as messages are confirmed.
    """

    dry_run: bool = False
    assume_yes: bool = False
    on_progress: OnProgress | None = None


class Commands:
    """
    Commands over one connection.

    Args:
        link: Connected.
        catalog: The catalog.
        publisher: What performs their changes.
    """

    def __init__(self, link: Link, catalog: Catalog, publisher: Publisher) -> None:
        self._link = link
        self._catalog = catalog
        self._publisher = publisher

    async def perform(
        self,
        build: Build,
        author: Author,
        manner: Manner,
        *,
        name: str = "",
        about: Sequence[ShareId] = (),
        classes: Sequence[ClassName] = (),
        named: Sequence[VmId] = (),
    ) -> FanOut:
        """
        Build a command's change and perform it.

        Args:
            build: Builds it from what was read.
            author: Whose command it is.
            manner: How to perform it.
            name: What the audit calls it, where it is about no share.
            about: Shares it is about, whose classes are asked for also where a share is disabled.
            classes: Classes it names; they must exist.
            named: VMs it names; those that never reported are warned about.

        Raises:
            CatalogError, BrokerError: As :meth:`Publisher.perform`, and what *build* raises.
        """
        attempt = partial(self._perform, build, author, manner, name=name, about=about, classes=classes, named=named)
        return await patiently(attempt)

    async def _perform(
        self,
        build: Build,
        author: Author,
        manner: Manner,
        *,
        name: str,
        about: Sequence[ShareId],
        classes: Sequence[ClassName],
        named: Sequence[VmId],
    ) -> FanOut:
        for attempt in range(1, ATTEMPTS + 1):
            ask = self._publisher.asking_once()
            snapshot, change, survey = await self._prepare(build, about, classes, ask, manner.on_progress)
            warnings = (
                *change.warnings,
                *await self._warn_never_heard(named, survey, snapshot),
                *warn_of_clock(self._catalog.clock_ahead_s),
            )
            try:
                return await self._finish(
                    snapshot, dataclasses.replace(change, warnings=warnings), survey, author, ask, manner, name
                )
            except CatalogConflictError:
                # Adding and removing members means the same whoever else does it; a share's content does not.
                if not change.is_repeatable or attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _warn_never_heard(
        self, named: Sequence[VmId], survey: Survey, snapshot: CatalogSnapshot
    ) -> tuple[str, ...]:
        if all(vm in survey.reports for vm in named):
            return ()
        return warn_never_heard(named, survey, snapshot, await read_reporting_vms(self._link))

    async def sync(self, chosen: frozenset[VmId] | None, author: Author, manner: Manner) -> FanOut:
        """Compute the lists of *chosen* VMs again, or of everybody concerned; raises as :meth:`perform`."""
        return await patiently(partial(self._sync, chosen, author, manner))

    async def _sync(self, chosen: frozenset[VmId] | None, author: Author, manner: Manner) -> FanOut:
        survey = await (read_whole_survey(self._link) if chosen is None else read_survey(self._link, chosen))
        newest = await read_newest(self._link)
        snapshot = await self._catalog.load()
        _refuse_behind(newest, snapshot, Change("sync"))
        ask = self._publisher.asking_once()
        members = await ask(snapshot)
        affected = concerned_vms(snapshot, members, survey) if chosen is None else chosen
        return await self._finish(snapshot, Change("sync", affected=affected), survey, author, ask, manner, "")

    async def _finish(
        self,
        snapshot: CatalogSnapshot,
        change: Change,
        survey: Survey,
        author: Author,
        ask: AskMembers,
        manner: Manner,
        name: str,
    ) -> FanOut:
        if manner.dry_run:
            return await self._publisher.plan(snapshot, change, survey, author, ask)
        fan_out = await self._publisher.perform(
            snapshot, change, survey, author, ask, assume_yes=manner.assume_yes, on_progress=manner.on_progress
        )
        if not change.edits and not fan_out.stored and change.action == "sync":
            return fan_out  # a watch compares every minute
        about = name or " ".join(change.share_ids)
        await note_change(self._link, change.action, author, name=about, fan_out=fan_out)
        return fan_out

    async def _prepare(
        self,
        build: Build,
        about: Sequence[ShareId],
        classes: Sequence[ClassName],
        ask: AskMembers,
        on_progress: OnProgress | None,
    ) -> tuple[CatalogSnapshot, Change, Survey]:
        survey = Survey({}, {})
        surveyed: frozenset[VmId] = frozenset()
        settled: frozenset[ShareId] = frozenset()
        for _ in range(ATTEMPTS):
            newest = await read_newest(self._link)
            snapshot = await self._catalog.load()
            members = await ask(snapshot, {*classes, *_classes_of(snapshot, about)})
            change = build(snapshot, members)
            _refuse_behind(newest, snapshot, change)
            if change.settled <= settled:
                untold = lingering(survey, change.settled, snapshot, members)
                change = dataclasses.replace(change, affected=change.affected | untold)
                if change.affected <= surveyed:
                    return snapshot, change, narrowed(survey, change.affected)
            if on_progress is not None:
                on_progress(Progress("read", 0, len(change.affected)))
            if change.settled:
                survey, settled = await read_whole_survey(self._link), change.settled
                surveyed = change.affected.union(survey.last)
            else:
                survey, surveyed = await read_survey(self._link, change.affected), change.affected
        raise CatalogConflictError("a catalog that others keep changing")


def _classes_of(snapshot: CatalogSnapshot, share_ids: Sequence[ShareId]) -> frozenset[ClassName]:
    records = (snapshot.shares[share_id] for share_id in share_ids if share_id in snapshot.shares)
    return frozenset(ClassName(name) for one in records for edition in one.editions for name in edition.targets.classes)


def _refuse_behind(newest: tuple[VmId, LastMessage] | None, snapshot: CatalogSnapshot, change: Change) -> None:
    """
    Refuse to change a catalog that knows less than the newest list of all, whomever it is for.

    A catalog that was put back to an older state would otherwise grow past what it has lost.
    """
    if newest is None or newest[1].mark is None or snapshot.knows(newest[1].mark):
        return
    check_mark(*newest, with_edits(snapshot, change.edits))
