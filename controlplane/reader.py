"""Reading a stream's last messages: many at once through one short-lived consumer, few through the leader."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg

from controlplane.delivery import Delivery
from controlplane.inbox import Inbox
from controlplane.jetstream import ApiError, StreamFacts, ask, first_message_after, last_message
from controlplane.jetstream import stream_facts as ask_facts
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError, StreamMissingError
from weft.link import Link

FEW = 256
"""Up to here one question per subject is cheaper than reading everything; a server drops its queue at 10,000."""
QUESTIONS_AT_ONCE = 64
SILENCE_S = 5.0
CATCH_UP_S = 10.0
"""How long a replica may need to reach what the leader already has."""
CATCH_UP_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """
    What a stream held, complete as of ``facts.last_seq``.

    Attributes:
        facts: What the leader said before anything was read.
        last: The last message on each subject.
    """

    facts: StreamFacts
    last: Mapping[str, StoredMessage]


async def read_last(link: Link, stream: str, subjects: Iterable[str], *, everything: str) -> dict[str, StoredMessage]:
    """
    Read the last message on each of *subjects*; a subject without one is left out.

    Args:
        link: Connected.
        stream: The stream.
        subjects: What is asked for.
        everything: The wildcard that covers them all.

    Raises:
        BrokerError: Any of it could not be read.
    """
    wanted = set(subjects)
    if len(wanted) > FEW:
        reading = await read_complete(link, stream, everything)
        return {subject: message for subject, message in reading.last.items() if subject in wanted}
    gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)

    async def one(subject: str) -> StoredMessage | None:
        async with gate:
            return await last_message(link, stream, subject)

    found = await asyncio.gather(*(one(subject) for subject in sorted(wanted)))
    return {message.subject: message for message in found if message is not None}


async def read_complete(link: Link, stream: str, subjects: str, *, after: Reading | None = None) -> Reading:
    """
    Read the last message on every subject, complete as of what the leader has now.

    Consumers may be served by a replica that lags, so the leader's ``last_seq`` is asked first, and the reading
    counts only once it was reached.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        after: An earlier reading of the same stream: only what came since is read.

    Raises:
        BrokerUnreachableError: The broker was lost, or its replica stayed behind.
        BrokerError: As :func:`controlplane.jetstream.ask`.
    """
    facts = await ask_facts(link, stream)
    if after is not None and (after.facts.created != facts.created or after.facts.last_seq > facts.last_seq):
        after = None
    last = dict(after.last) if after is not None else {}
    reached = after.facts.last_seq if after is not None else 0
    deadline_s = asyncio.get_running_loop().time() + CATCH_UP_S
    while reached < facts.last_seq:
        for message in await read_messages(link, stream, subjects, after_seq=reached):
            last[message.subject] = message
            reached = max(reached, message.seq)
        # The newest sequence may belong to a message that was removed: then the leader has nothing more.
        if reached >= facts.last_seq or await first_message_after(link, stream, subjects, reached) is None:
            break
        if asyncio.get_running_loop().time() > deadline_s:
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: the replica that answers stays behind")
        await asyncio.sleep(CATCH_UP_PAUSE_S)
    return Reading(facts, last)


async def read_messages(
    link: Link, stream: str, subjects: str, *, after_seq: int = 0, last_per_subject: bool = True
) -> list[StoredMessage]:
    """
    Read what the stream holds now, once, in order.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        after_seq: Leave out everything up to this sequence; with it every later message is read.
        last_per_subject: From the beginning, read only the last message on each subject.

    Raises:
        BrokerUnreachableError: The broker was lost or fell silent, or a message was lost on the way.
    """
    delivery: dict[str, Any] = {"deliver_policy": "last_per_subject" if last_per_subject else "all"}
    if after_seq:
        delivery = {"deliver_policy": "by_start_sequence", "opt_start_seq": after_seq + 1}
    received = _Received()
    name = f"weft-{secrets.token_hex(6)}"
    async with Inbox(link, received.take) as inbox:
        config = {
            **delivery,
            "name": name,
            "filter_subject": subjects,
            "deliver_subject": inbox.subject,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "flow_control": True,
            "idle_heartbeat": int(SILENCE_S / 2 * 1e9),
            "inactive_threshold": int(SILENCE_S * 1e9),
        }
        body = {"stream_name": stream, "config": config, "action": "create"}
        created = await ask(link, f"CONSUMER.CREATE.{stream}.{name}.{subjects}", body, stream=stream)
        if created["num_pending"] > 0 or received.messages:
            await _receive_all(inbox, received, stream)
        await forget_consumer(link, stream, name)
    return received.messages


async def _receive_all(inbox: Inbox, received: _Received, stream: str) -> None:
    while not received.is_complete:
        if not await inbox.wait(SILENCE_S):
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: the broker fell silent")
        if inbox.is_lost and not received.is_complete:
            raise inbox.lost_error(f"read stream {stream!r}")
        if received.has_gap:
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: messages were lost on the way")
        if received.flow_reply:
            reply, received.flow_reply = received.flow_reply, ""
            await inbox.nc.publish(reply)


async def forget_consumer(link: Link, stream: str, name: str) -> None:
    """Delete a consumer that has served; one that cannot be asked ends by itself."""
    try:
        await ask(link, f"CONSUMER.DELETE.{stream}.{name}", stream=stream)
    except (ApiError, StreamMissingError, BrokerUnreachableError):
        return


@dataclass(slots=True)
class _Received:
    """What one consumer delivered so far."""

    messages: list[StoredMessage] = field(default_factory=list)
    is_complete: bool = False
    has_gap: bool = False
    flow_reply: str = ""

    def take(self, msg: Msg) -> None:
        delivery = Delivery.parse(msg)
        if delivery is None:
            self._take_control(msg)
        elif not self.is_complete:
            self.messages.append(delivery.message)
            self.has_gap = self.has_gap or delivery.consumer_seq != len(self.messages)
            self.is_complete = delivery.pending == 0

    def _take_control(self, msg: Msg) -> None:
        headers = msg.headers or {}
        self.flow_reply = msg.reply or headers.get("Nats-Consumer-Stalled", "") or self.flow_reply
