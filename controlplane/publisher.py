"""A command's way through the control plane: foresee what it would do, refuse or ask, change the catalog, fan out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from controlplane.catalog import Catalog
from controlplane.decide import Decision, Survey, decide_all, refuse_losses
from controlplane.edits import Author, Change
from controlplane.ingest import max_data_bytes
from controlplane.projection import Members, Projection, project, referenced_classes
from controlplane.records import CatalogSnapshot, with_edits
from controlplane.results import FanOut, OnProgress
from controlplane.roster import AskedOnce, CatalogRoster, Roster, ask_roster
from controlplane.rounds import Rounds
from controlplane.takeover import build_take_over
from weft.link import Link
from weft.wire.ids import ClassName

log = structlog.get_logger("weft.publisher")


class AskMembers(Protocol):
    """Asks for the members of every class that a catalog uses, and of those named; raises as a roster does."""

    async def __call__(self, snapshot: CatalogSnapshot, also: Iterable[ClassName] = ()) -> Members:
        """Ask."""
        ...


class Publisher:
    """
    Performs changes on the catalog and the VMs' messages.

    Args:
        link: Connected.
        catalog: Where what is wanted is kept.
        roster: Who is in a class, None for the catalog's own classes.
        now_ms: Milliseconds since 1970, by the broker's clock.
    """

    def __init__(self, link: Link, catalog: Catalog, *, roster: Roster | None, now_ms: Callable[[], int]) -> None:
        self._link = link
        self._catalog = catalog
        self._roster = roster
        self._now_ms = now_ms

    async def members(self, snapshot: CatalogSnapshot, also: Iterable[ClassName] = ()) -> Members:
        """
        Ask for the members of every class that *snapshot* uses, and of those named.

        Raises:
            UnknownNameError: A class does not exist.
            RosterError: The roster failed.
        """
        return await self.asking_once()(snapshot, also)

    def asking_once(self) -> AskMembers:
        """Return what asks for members during one command: what was foreseen and confirmed is what is obeyed."""
        roster = AskedOnce(self._roster) if self._roster is not None else None

        async def ask(snapshot: CatalogSnapshot, also: Iterable[ClassName] = ()) -> Members:
            return await ask_roster(roster or CatalogRoster(snapshot), referenced_classes(snapshot) | set(also))

        return ask

    async def plan(
        self, snapshot: CatalogSnapshot, change: Change, survey: Survey, author: Author, ask: AskMembers
    ) -> FanOut:
        """
        Say what :meth:`perform` would do, as if every message were stored; nothing is written.

        Raises:
            CatalogBehindError: The stream knows more than this catalog.
        """
        decisions, projection, warnings = await self._foresee(snapshot, change, survey, author, ask, assume_yes=True)
        rounds = self._rounds(change, author, ask, None)
        rounds.warnings += warnings
        rounds.expect(projection, survey)
        for publish in rounds.note(decisions):
            rounds.stored[publish.vm] = publish.revision
        return rounds.as_fan_out()

    async def perform(
        self,
        snapshot: CatalogSnapshot,
        change: Change,
        survey: Survey,
        author: Author,
        ask: AskMembers,
        *,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Change the catalog, then every VM that the change concerns.

        Args:
            snapshot: What *change* was built from.
            change: The command.
            survey: Last messages and reports of the VMs it concerns, read before *snapshot* or not at all.
            author: For the record.
            ask: Asks for members; the same as for *change*.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            CatalogBehindError: The stream knows more than this catalog; nothing was written.
            ConfirmationNeededError: Somebody must confirm; nothing was written.
            CatalogConflictError: Somebody else changed the entry; their edit stands.
            BrokerError: The catalog could not be written.
        """
        _, _, warnings = await self._foresee(snapshot, change, survey, author, ask, assume_yes=assume_yes)
        if change.edits:
            await self._catalog.write(change.edits)
        rounds = self._rounds(change, author, ask, on_progress)
        rounds.warnings += warnings
        await rounds.run(survey)
        fan_out = rounds.as_fan_out()
        log.info(
            "fanout.published",
            action=change.action,
            share=" ".join(change.share_ids),
            stored=len(fan_out.stored),
            unchanged=len(fan_out.unchanged),
            failed=len(fan_out.failed),
            unknown=len(fan_out.unknown),
        )
        return fan_out

    def _rounds(self, change: Change, author: Author, ask: AskMembers, on_progress: OnProgress | None) -> Rounds:
        return Rounds(
            self._link,
            self._catalog,
            change,
            author=author,
            members=ask,
            now_ms=self._now_ms,
            on_progress=on_progress,
        )

    async def _foresee(
        self,
        snapshot: CatalogSnapshot,
        change: Change,
        survey: Survey,
        author: Author,
        ask: AskMembers,
        *,
        assume_yes: bool,
    ) -> tuple[list[Decision], Projection, tuple[str, ...]]:
        """Decide as if the change were made already, so that refusals come before anything is written."""
        if not change.affected:
            return [], Projection(), ()
        after = with_edits(snapshot, change.edits)
        members = await ask(after)
        taken, warnings = build_take_over(after, members, survey, change.intent.named, author)
        after = with_edits(after, taken)
        projection = project(after, members, change.affected)
        decisions = decide_all(
            projection,
            survey,
            change.intent,
            catalog=after,
            now_ms=self._now_ms(),
            max_bytes=max_data_bytes(self._link),
        )
        if not assume_yes:
            refuse_losses(decisions, after, members.values(), change.intent.ask_above)
        return decisions, projection, warnings
