"""Reading what guests report and what they were last sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from nats.aio.msg import Msg

from controlplane.heard import Heard, build_heard
from controlplane.jetstream import stream_facts
from controlplane.messages import LastMessage
from controlplane.reader import read_complete, read_last, read_messages
from controlplane.repeats import heard_on
from controlplane.stored import StoredMessage
from controlplane.views import VmView
from controlplane.wanted import Digests, WantedList
from weft.errors import BrokerUnreachableError, SubjectError
from weft.link import Link, Subscription
from weft.wire.ids import VmId
from weft.wire.subjects import (
    MOUNTS_ALL,
    MOUNTS_STREAM,
    STATUS_ALL,
    STATUS_STREAM,
    status_subject,
    subject,
    vm_of_subject,
)

__all__ = ["VmView", "hear_reports", "read_heard", "read_wanted"]

FEW = 8
"""Up to here a reading per VM is cheaper than reading every VM's reports."""

ASK_AGAIN_S = 0.5
"""After a question that a lost broker, or one without a leader, did not answer."""


async def read_heard(link: Link, vms: Iterable[VmId] | None = None) -> tuple[dict[VmId, Heard], float]:
    """
    Read the reports of *vms*, or of everybody.

    Returns:
        What was heard of each VM that ever reported, and the broker's time.

    Raises:
        BrokerError: The stream could not be read.
    """
    facts = await stream_facts(link, STATUS_STREAM)
    asked = None if vms is None else sorted(set(vms))
    filters = [STATUS_ALL] if asked is None or len(asked) > FEW else [status_subject(vm) for vm in asked]
    kept: dict[str, list[StoredMessage]] = {}
    for subjects in filters:
        for message in await read_messages(link, STATUS_STREAM, subjects, until_seq=facts.last_seq):
            kept.setdefault(message.subject, []).append(message)
    heard = _by_vm(kept)
    return heard if asked is None else {vm: heard[vm] for vm in asked if vm in heard}, facts.now_s


async def hear_reports(link: Link, take: Callable[[Msg], Awaitable[None]]) -> Subscription:
    """
    Have *take* called for every report from now on; a lost broker is waited for.

    Raises:
        BrokerError: As :func:`controlplane.jetstream.ask`.
    """
    while True:
        try:
            facts = await stream_facts(link, STATUS_STREAM)
            return await link.subscribe(heard_on(facts.config, STATUS_ALL), take)
        except BrokerUnreachableError:
            await asyncio.sleep(ASK_AGAIN_S)


def _by_vm(kept: Mapping[str, Sequence[StoredMessage]]) -> dict[VmId, Heard]:
    heard: dict[VmId, Heard] = {}
    for name, messages in kept.items():
        try:
            heard[vm_of_subject(name)] = build_heard(messages)
        except SubjectError:
            continue  # another program reports under something that is no VM id
    return heard


async def read_wanted(link: Link, vms: Iterable[VmId] | None = None) -> dict[VmId, WantedList]:
    """
    Read the stored list of each VM that has one.

    Args:
        link: Connected.
        vms: Only of these.

    Raises:
        BrokerError: The stream could not be read.
    """
    if vms is None:
        messages: Mapping[str, StoredMessage] = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    else:
        messages = await read_last(link, MOUNTS_STREAM, (subject(vm) for vm in vms), everything=MOUNTS_ALL)
    digests = Digests()
    wanted: dict[VmId, WantedList] = {}
    for message in messages.values():
        try:
            wanted[vm_of_subject(message.subject)] = WantedList(LastMessage(message), digests)
        except SubjectError:
            continue  # a subject that is no VM's
    return wanted
