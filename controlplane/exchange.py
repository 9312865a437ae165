"""The part of the control plane that takes the catalog out and in: as a file, or from the stream where it was lost."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from controlplane.adoption import build_adoption, marks_of
from controlplane.commands import Manner
from controlplane.decide import Survey
from controlplane.document import Document, build_document, parse_document
from controlplane.edits import Author, Change
from controlplane.import_edits import ImportPlan, build_import
from controlplane.part import Part
from controlplane.projection import Members
from controlplane.records import CatalogSnapshot
from controlplane.recovery import Recovery, build_recovery
from controlplane.results import FanOut, OnProgress
from controlplane.survey import read_whole_survey
from weft.wire.ids import ClassName


class Exchange(Part):
    """Exporting, importing and recovering the catalog."""

    async def export(self, *, show_secrets: bool = False) -> dict[str, Any]:
        """
        Write the catalog as plain values, which ``json.dumps`` turns into a file.

        Args:
            show_secrets: Whether secrets stand in it. Otherwise ``***`` stands for each, and an import leaves what the
                catalog has there; a file for another catalog needs them.

        Raises:
            CatalogError, BrokerError: The catalog cannot be read.
        """
        return build_document(await self._catalog.load(), show_secrets=show_secrets)

    async def plan_import(self, document: Document | str, *, prune: bool = False) -> ImportPlan:
        """Say what :meth:`import_catalog` would do; raises as that."""
        content = _document(document)
        snapshot = await self._catalog.load()
        classes = classes_of(content) if self._roster is not None else ()
        members = await self._publisher.members(snapshot, classes)
        return self._build_import(snapshot, members, content, self._author(), prune)[1]

    async def import_catalog(
        self,
        document: Document | str,
        *,
        prune: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Make the catalog say what a file says, and fan it out.

        Where the stream was written from a catalog that is lost, this one takes its place.

        Args:
            document: What ``export`` wrote, as text or read already.
            prune: Also remove what the file does not have.
            assume_yes: Do not ask, even if VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            ConfigError: Everything in the file that cannot be used.
            ConfirmationNeededError: Somebody must confirm; nothing was written.
            CatalogConflictError: Somebody else changed the catalog meanwhile; doing it again shows the new plan.
            BrokerError: As ``publish``.
        """
        content = _document(document)
        author = self._author()
        survey = await read_whole_survey(self._link)
        new_id = secrets.token_hex(8)

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            change, _ = self._build_import(snapshot, members, content, author, prune)
            return _adopting(snapshot, change, survey, new_id)

        manner = Manner(False, assume_yes, on_progress)
        classes = classes_of(content) if self._roster is not None else ()
        return await self._commands.perform(build, author, manner, name="import", classes=classes)

    def _build_import(
        self, snapshot: CatalogSnapshot, members: Members, document: Document, author: Author, prune: bool
    ) -> tuple[Change, ImportPlan]:
        has_roster = self._roster is not None
        return build_import(snapshot, members, document, author, prune=prune, has_roster=has_roster)

    async def plan_recovery(self) -> Recovery:
        """Say what :meth:`recover` would do; raises as that."""
        _, recovery = await self._build_recovery(await read_whole_survey(self._link))
        return recovery

    async def recover(self) -> Recovery:
        """
        Build the catalog from what the stream holds, where it was lost, replaced or put back to an older state.

        Shares come back with the VMs they are on; classes, owners and remotes only as far as the catalog has them.
        No VM's list changes.

        Raises:
            StreamMissingError: There is no bucket; ``init`` makes one.
            CatalogError: Nothing is lost.
            BrokerError: As ``publish``.
        """
        survey = await read_whole_survey(self._link)
        change, recovery = await self._build_recovery(survey)
        await self._commands.perform(lambda snapshot, members: change, self._author(), Manner(), name="recover")
        return recovery

    async def _build_recovery(self, survey: Survey) -> tuple[Change, Recovery]:
        snapshot = await self._catalog.load()
        members = await self._publisher.members(snapshot)
        return build_recovery(snapshot, members, survey.last, self._author(), secrets.token_hex(8))


def _document(document: Document | str) -> Document:
    return parse_document(document, where="the file") if isinstance(document, str) else document


def _adopting(snapshot: CatalogSnapshot, change: Change, survey: Survey, new_id: str) -> Change:
    """Add to *change* what makes the catalog take the place of one that was lost; then nothing may be lost unasked."""
    adoption = build_adoption(snapshot, marks_of(survey.last.values()), new_id)
    if adoption is None:
        return change
    return dataclasses.replace(
        change,
        edits=(*change.edits, adoption),
        affected=change.affected | survey.last.keys(),
        intent=dataclasses.replace(change.intent, ask_above=0.0),
    )


def classes_of(document: Document) -> tuple[ClassName, ...]:
    """Name the classes that shares of the file are for."""
    targets = (values.get("targets", {}) for values in document.shares.values())
    return tuple(sorted({ClassName(name) for found in targets for name in found.get("classes", ())}))
