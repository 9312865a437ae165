"""The rounds of one fan-out: decide, store, and again for every VM whose message somebody else replaced meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from controlplane.batch import Refused, Stored, Unknown, Unsent, Verdict, why_refused
from controlplane.catalog import Catalog
from controlplane.decide import Decision, Publish, Refuse, Report, Survey, Unchanged, decide_all
from controlplane.edits import Author, Change
from controlplane.ingest import Outgoing, max_data_bytes, store
from controlplane.jetstream import WRONG_LAST_SEQUENCE
from controlplane.messages import LastMessage
from controlplane.projection import Members, ProjectedShare, Projection, project
from controlplane.records import CatalogSnapshot
from controlplane.results import FanOut, OnProgress, Progress
from controlplane.survey import read_again
from controlplane.takeover import build_take_over
from weft.errors import BrokerError, CatalogConflictError, CatalogError
from weft.link import Link, LinkState
from weft.wire.ids import ShareId, VmId
from weft.wire.subjects import MOUNTS_STREAM, subject

ROUNDS = 10
"""In each round somebody's message is stored, so losing ten in a row takes ten other publishers."""


class Rounds:
    """
    One fan-out from its survey to a result for every VM.

    Args:
        link: Connected.
        catalog: Already changed.
        change: Whom it concerns and what is intended.
        author: For what is taken over.
        members: Asks the roster.
        now_ms: Milliseconds since 1970, by the broker's clock.
        on_progress: Told as messages are confirmed.
    """

    def __init__(
        self,
        link: Link,
        catalog: Catalog,
        change: Change,
        *,
        author: Author,
        members: Callable[[CatalogSnapshot], Awaitable[Members]],
        now_ms: Callable[[], int],
        on_progress: OnProgress | None,
    ) -> None:
        self._link = link
        self._catalog = catalog
        self._change = change
        self._author = author
        self._members = members
        self._now_ms = now_ms
        self._on_progress = on_progress
        self._unanswered: dict[VmId, Publish] = {}
        self._passed_over = 0
        self.stored: dict[VmId, int] = {}
        self.unchanged: dict[VmId, int] = {}
        self.failed: dict[VmId, str] = {}
        self.unknown: dict[VmId, str] = {}
        self.expected: dict[VmId, Mapping[ShareId, str | None]] = {}
        self.warnings: list[str] = list(change.warnings)

    def as_fan_out(self) -> FanOut:
        """Return what came of it."""
        return FanOut(
            share_ids=self._change.share_ids,
            stored=self.stored,
            unchanged=self.unchanged,
            failed=self.failed,
            unknown=self.unknown,
            expected=self.expected,
            warnings=tuple(dict.fromkeys(self.warnings)),
        )

    async def run(self, survey: Survey) -> None:
        """
        Bring every VM of the change into one of the four maps.

        Args:
            survey: Last messages and reports.

        Raises:
            CatalogError: In the first round, so before any message was sent.
        """
        pending = sorted(self._change.affected)
        for turn in range(ROUNDS):
            if not pending:
                return
            try:
                if turn > 0:
                    survey = replace(survey, last=await read_again(self._link, pending))
                    pending = self._settle(pending, survey)
                decisions = await self._decide(survey, pending)
            except CatalogConflictError:
                continue
            except (BrokerError, CatalogError) as exc:
                if turn == 0 and isinstance(exc, CatalogError):
                    raise
                self._give_up(pending, str(exc))
                return
            publishes = self.note(decisions)
            pending = self._take_verdicts(publishes, await self._store(publishes))
            self._tell()
            if self._link.state is not LinkState.CONNECTED:
                self._give_up(pending, "the broker was lost")
                return
        self._give_up(pending, "others kept publishing to it")

    async def _decide(self, survey: Survey, pending: Iterable[VmId]) -> list[Decision]:
        """Decide from the catalog, complete as of now, which is after the last messages were read."""
        asked = frozenset(pending)
        survey = replace(survey, last={vm: message for vm, message in survey.last.items() if vm in asked})
        snapshot = await self._catalog.load()
        members = await self._members(snapshot)
        named = self._change.intent.named
        taken, warnings = build_take_over(snapshot, members, survey, named, self._author)
        self.warnings += warnings
        if taken:
            await self._catalog.write(taken)
            snapshot = await self._catalog.load()
            members = await self._members(snapshot)
        projection = project(snapshot, members, asked)
        self.expect(projection, survey)
        return decide_all(
            projection,
            survey,
            self._change.intent,
            catalog=snapshot,
            now_ms=self._now_ms(),
            max_bytes=max_data_bytes(self._link),
        )

    def expect(self, projection: Projection, survey: Survey) -> None:
        """Note what each VM will report once it has what was decided."""
        about = frozenset(self._change.share_ids)
        for vm, shares in projection.lists.items():
            self.expected[vm] = expected_of(shares, survey.last.get(vm), survey.reports.get(vm), about)

    def note(self, decisions: Iterable[Decision]) -> list[Publish]:
        """Note every decision that needs no message, and return the others."""
        publishes: list[Publish] = []
        for decision in decisions:
            match decision:
                case Unchanged() if decision.vm in self._change.former:
                    self._passed_over += 1
                case Unchanged():
                    self.unchanged[decision.vm] = decision.revision
                case Refuse():
                    self.failed[decision.vm] = decision.reason
                case Publish():
                    publishes.append(decision)
                case _:
                    assert_never(decision)
        return publishes

    async def _store(self, publishes: Sequence[Publish]) -> list[Verdict]:
        messages = [Outgoing(subject(item.vm), item.data, item.expected_seq) for item in publishes]
        return await store(self._link, messages, on_answered=self._tell)

    def _take_verdicts(self, publishes: Sequence[Publish], verdicts: Sequence[Verdict]) -> list[VmId]:
        """Note what the broker said, and return the VMs to try again."""
        again: list[VmId] = []
        for publish, verdict in zip(publishes, verdicts, strict=True):
            vm = publish.vm
            self._unanswered.pop(vm, None)
            match verdict:
                case Stored():
                    self.stored[vm] = publish.revision
                case Refused() if verdict.err_code in WRONG_LAST_SEQUENCE:
                    again.append(vm)
                case Refused():
                    self.failed[vm] = f"the stream refused it: {why_refused(verdict, MOUNTS_STREAM)}"
                case Unsent():
                    self.failed[vm] = f"it was not sent: {verdict.reason}"
                case Unknown():
                    self._unanswered[vm] = publish
                    again.append(vm)
                case _:
                    assert_never(verdict)
        return again

    def _settle(self, pending: Iterable[VmId], survey: Survey) -> list[VmId]:
        """Find unanswered messages in the stream after all; return the VMs that are still open."""
        open_vms: list[VmId] = []
        for vm in pending:
            sent, last = self._unanswered.get(vm), survey.last.get(vm)
            if sent is not None and last is not None and last.has_data(sent.data):
                self.stored[vm] = sent.revision
                del self._unanswered[vm]
            else:
                open_vms.append(vm)
        return open_vms

    def _give_up(self, pending: Iterable[VmId], reason: str) -> None:
        for vm in pending:
            if vm in self._unanswered:
                self.unknown[vm] = (
                    f"sent, but not confirmed: {reason} (the stream may hold it; running this again is safe)"
                )
            else:
                self.failed[vm] = f"not stored: {reason}"
        self._tell()

    def _tell(self, answered: int = 0) -> None:
        if self._on_progress is not None:
            done = len(self.stored) + len(self.unchanged) + len(self.failed) + len(self.unknown)
            total = len(self._change.affected) - self._passed_over
            self._on_progress(Progress("publish", done + answered, total, len(self.failed)))


def expected_of(
    shares: Iterable[ProjectedShare], last: LastMessage | None, report: Report | None, about: frozenset[ShareId]
) -> dict[ShareId, str | None]:
    """
    Say what one VM will report once it has *shares*: their digests, and None for what must be gone.

    Args:
        shares: Its list.
        last: Its last message.
        report: What it reported last.
        about: Shares that the change is about, of which one VM may know few; empty for every share of its lists.
    """
    wanted = {share.id: share for share in shares}
    ids = wanted.keys() | (last.share_ids if last is not None else frozenset())
    if about:
        ids = (ids | _ids_beyond_lists(last, report)) & about
    return {share_id: wanted[share_id].digest if share_id in wanted else None for share_id in sorted(ids)}


def _ids_beyond_lists(last: LastMessage | None, report: Report | None) -> frozenset[ShareId]:
    """Name the shares that a VM may have although no list of it says so."""
    reported = report.share_ids if report is not None else frozenset[ShareId]()
    if last is None:
        return reported
    single = frozenset({last.single.share_id}) if last.single is not None else frozenset[ShareId]()
    return reported | last.gone | single
