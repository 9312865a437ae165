"""Waiting until guests report what was published: by listening, with a rare second look for what nobody could hear."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

import structlog
from nats.aio.msg import Msg

from controlplane.convergence import Goal, Lacking, judge, judge_claim
from controlplane.heard import parse_boot_id, parse_status
from controlplane.reader import read_last
from controlplane.repeats import stored_subject
from controlplane.results import OnProgress, Outcome, Progress
from controlplane.status import hear_reports, read_heard
from weft.errors import BrokerUnreachableError
from weft.link import Link, Subscription
from weft.wire.ids import VmId
from weft.wire.status import VmStatus
from weft.wire.subjects import STATUS_ALL, STATUS_PREFIX, STATUS_STREAM, status_subject, vm_of_subject

log = structlog.get_logger("weft.wait")

LOOK_AGAIN_S = (0.5, 1.0, 2.0, 5.0, 10.0)
"""
When to read again what was not heard, the last one repeated. A report that reached the broker just before our
subscription is delivered to nobody, and may still be on its way into the stream when we read.
"""


async def wait_for(
    link: Link, goals: Mapping[VmId, Goal], *, timeout_s: float, on_progress: OnProgress | None = None
) -> Outcome:
    """
    Wait until every VM of *goals* has converged or failed for good, or until the time is over.

    Args:
        link: Connected; a lost broker is waited for.
        goals: What each VM must report.
        timeout_s: Seconds.
        on_progress: Told whenever a VM's standing changes.

    Returns:
        Who has it and who has not; running out of time is an outcome, not an error.

    Raises:
        BrokerError: The reports could not be read.
    """
    waiting = _Waiting(goals, on_progress)
    subscription: Subscription | None = None
    remove = link.on_connected(waiting.read_again)
    try:
        async with asyncio.timeout(timeout_s):
            subscription = await hear_reports(link, waiting.take)
            await waiting.run(link)
    except TimeoutError:
        return waiting.outcome()
    finally:
        remove()
        if subscription is not None:
            await subscription.unsubscribe()
    return waiting.outcome()


class _Waiting:
    """Where every VM of one wait stands."""

    def __init__(self, goals: Mapping[VmId, Goal], on_progress: OnProgress | None) -> None:
        self._goals = goals
        self._on_progress = on_progress
        self._heard: set[VmId] = set()
        self._boot_ids: dict[VmId, str] = {}
        self._suspects: set[VmId] = set()
        self._claimants: dict[VmId, tuple[str, ...]] = {}
        self._lacking: dict[VmId, Lacking] = {}
        self._open: set[VmId] = set()
        self._news = asyncio.Event()
        for vm in goals:
            self._judge(vm, None)

    async def run(self, link: Link) -> None:
        """Return once nothing is left to wait for."""
        self._tell()
        self._suspects = set(self._goals)
        pauses_s = itertools.chain(LOOK_AGAIN_S, itertools.repeat(LOOK_AGAIN_S[-1]))
        while self._open or self._suspects:
            try:
                await link.flush()  # the subscription has arrived: what is reported from now on is heard
                await self._read_kept(link)
                await self._read_last(link)
            except BrokerUnreachableError as exc:
                log.debug("status.unread", error=str(exc))
            self._tell()
            if self._open or self._suspects:
                await self._until_news(next(pauses_s))

    async def _read_kept(self, link: Link) -> None:
        """Read all that is kept of VMs of which it is not known whether they are one guest: everybody at first."""
        if not self._suspects:
            return
        asked = frozenset(self._suspects)
        heard, _ = await read_heard(link, asked)
        self._suspects -= asked
        for vm, kept in heard.items():
            self._boot_ids.setdefault(vm, kept.boot_ids[-1] if kept.boot_ids else "")
            self._claimants[vm] = kept.claimants
            if kept.claimants or vm not in self._heard:
                self._judge(vm, kept.status)

    async def _read_last(self, link: Link) -> None:
        subjects = [status_subject(vm) for vm in self._open]
        for message in (await read_last(link, STATUS_STREAM, subjects, everything=STATUS_ALL)).values():
            vm = vm_of_subject(message.subject)
            if vm not in self._heard:
                self._judge(vm, parse_status(message.data))

    async def _until_news(self, timeout_s: float) -> None:
        """Sleep until nothing is open, the link is back, or it is time for another look."""
        self._news.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def take(self, msg: Msg) -> None:
        """Learn from one report as it is stored."""
        subject = stored_subject(msg.subject, msg.headers)
        vm = VmId((subject or "").removeprefix(STATUS_PREFIX))
        if vm not in self._goals:
            return
        boot_id = parse_boot_id(msg.data)
        if self._boot_ids.setdefault(vm, boot_id) != boot_id:
            # Another boot, or another guest: the reports that the stream keeps tell which.
            self._boot_ids[vm] = boot_id
            self._heard.discard(vm)
            self._suspects.add(vm)
            self._open.add(vm)
            self._news.set()
            return
        self._heard.add(vm)
        if self._judge(vm, parse_status(msg.data)):
            self._tell()
        if not self._open:
            self._news.set()

    def read_again(self) -> None:
        """After a reconnect, reports may have been missed."""
        self._heard.clear()
        self._news.set()

    def _judge(self, vm: VmId, status: VmStatus | None) -> bool:
        """Judge *vm* by its latest report; True where its standing changed."""
        before = self._lacking.get(vm)
        claimants = self._claimants.get(vm)
        lacking = judge_claim(vm, claimants) if claimants else judge(vm, self._goals[vm], status)
        if lacking is None:
            self._lacking.pop(vm, None)
        else:
            self._lacking[vm] = lacking
        if lacking is None or lacking.is_final:
            self._open.discard(vm)
        else:
            self._open.add(vm)
        return before != lacking

    def _tell(self) -> None:
        if self._on_progress is not None:
            failed = sum(lacking.is_failed for lacking in self._lacking.values())
            total = len(self._goals)
            self._on_progress(Progress("wait", total - len(self._lacking), total, failed))

    def outcome(self) -> Outcome:
        """Return where every VM stands now."""
        lacking = sorted(self._lacking.items())
        return Outcome(
            converged=tuple(sorted(self._goals.keys() - self._lacking.keys())),
            failed={vm: found.problem for vm, found in lacking if found.is_failed},
            waiting={vm: found.problem for vm, found in lacking if not found.is_failed},
        )
