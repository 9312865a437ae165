"""Reading what VMs were last sent and what they last said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from controlplane.decide import Report, Survey
from controlplane.jetstream import last_message, read_subjects
from controlplane.messages import LastMessage
from controlplane.reader import QUESTIONS_AT_ONCE, read_complete, read_last
from controlplane.report_bounds import LARGEST_BYTES
from controlplane.stored import StoredMessage
from weft.errors import SubjectError
from weft.link import Link
from weft.wire.ids import ShareId, VmId
from weft.wire.subjects import (
    MOUNTS_ALL,
    MOUNTS_STREAM,
    STATUS_ALL,
    STATUS_STREAM,
    status_subject,
    subject,
    vm_of_subject,
)


class _ReportedShare(msgspec.Struct):
    id: Any = None


class _Reported(msgspec.Struct):
    """The part of a status that a publisher needs; the rest is not decoded."""

    held_revision: int = 0
    shares: list[_ReportedShare] = []


_REPORTS = msgspec.json.Decoder(_Reported)


async def read_survey(link: Link, vms: Iterable[VmId]) -> Survey:
    """
    Read last messages and reports of *vms*.

    Raises:
        BrokerError: Either stream could not be read.
    """
    asked = tuple(vms)
    last = await read_last(link, MOUNTS_STREAM, (subject(vm) for vm in asked), everything=MOUNTS_ALL)
    reports = await read_last(link, STATUS_STREAM, (status_subject(vm) for vm in asked), everything=STATUS_ALL)
    return _build_survey(last.values(), reports.values())


async def read_whole_survey(link: Link) -> Survey:
    """Read last messages and reports of every VM that has any; raises as :func:`read_survey`."""
    last = await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)
    reports = await read_complete(link, STATUS_STREAM, STATUS_ALL)
    return _build_survey(last.last.values(), reports.last.values())


async def read_reporting_vms(link: Link) -> frozenset[VmId]:
    """Name every VM that ever reported, without reading what; raises as :func:`read_survey`."""
    return _vms_of(await read_subjects(link, STATUS_STREAM, STATUS_ALL))


async def read_listed_vms(link: Link) -> frozenset[VmId]:
    """Name every VM that ever reported or has a stored list; raises as :func:`read_survey`."""
    return await read_reporting_vms(link) | _vms_of(await read_subjects(link, MOUNTS_STREAM, MOUNTS_ALL))


def _vms_of(subjects: Iterable[str]) -> frozenset[VmId]:
    found: set[VmId] = set()
    for text in subjects:
        try:
            found.add(vm_of_subject(text))
        except SubjectError:
            continue  # another program uses something that is no VM id
    return frozenset(found)


async def read_again(link: Link, vms: Iterable[VmId]) -> dict[VmId, LastMessage]:
    """Read the last messages of *vms* through the leader, which alone has the one that just won a conflict."""
    gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def one(vm: VmId) -> tuple[VmId, StoredMessage | None]:
        async with gate:
            return vm, await last_message(link, MOUNTS_STREAM, subject(vm))

    found = await asyncio.gather(*(one(vm) for vm in vms))
    return {vm: LastMessage(message) for vm, message in found if message is not None}


async def read_newest(link: Link) -> tuple[VmId, LastMessage] | None:
    """Read the list that was stored last of all, whomever it is for; None where there is none."""
    newest = await last_message(link, MOUNTS_STREAM, MOUNTS_ALL)
    return next(iter(build_last([newest]).items()), None) if newest is not None else None


def build_last(messages: Iterable[StoredMessage]) -> dict[VmId, LastMessage]:
    """Sort stored messages by VM; those of subjects that name none are left out."""
    return {vm_of_subject(message.subject): LastMessage(message) for message in messages if _has_vm(message)}


def _build_survey(last: Iterable[StoredMessage], reports: Iterable[StoredMessage]) -> Survey:
    return Survey(
        last=build_last(last),
        reports={vm_of_subject(message.subject): parse_report(message.data) for message in reports if _has_vm(message)},
    )


def _has_vm(message: StoredMessage) -> bool:
    """Say whether the subject names a VM; another program may have used one that cannot."""
    try:
        vm_of_subject(message.subject)
    except SubjectError:
        return False
    return True


def parse_report(data: bytes) -> Report:
    """Read the part of a status that a publisher needs; one that is unreadable, or larger than any, says nothing."""
    if len(data) > LARGEST_BYTES:
        return Report()
    try:
        reported = _REPORTS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Report()
    ids = frozenset(ShareId(share.id) for share in reported.shares if isinstance(share.id, str) and share.id)
    return Report(max(0, reported.held_revision), ids)
