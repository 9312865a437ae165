"""Storing many messages so that each one's fate is known: fast-ingest batches, or windowed single publishes."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import nats.errors
from nats.aio.msg import Msg

from controlplane.batch import (
    BATCH_UNKNOWN,
    BATCHES_DISABLED,
    STREAM_FULL,
    Batch,
    Op,
    Refused,
    Stored,
    Unknown,
    Unsent,
    Verdict,
    reply_subject,
)
from controlplane.frames import build_frame, send_frames
from controlplane.inbox import Inbox
from controlplane.streams import has_fast_ingest
from weft.errors import BrokerUnreachableError
from weft.link import Link

EXPECTED_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"
WORTH_A_BATCH = 16
"""Below this, single publishes take no longer than beginning and ending a batch."""
SINGLES_AT_ONCE = 256
ANSWER_TIMEOUT_S = 5.0
DENIAL_S = 0.25
"""Silence after which it is asked whether the broker denied what was sent; it gives a denied message no answer."""
DENIED = "the broker denies it to these credentials"
HEADER_BYTES = 160
"""More than our headers take; they count towards the broker's ``max_payload`` too."""
_NEVER = 2**62
"""A sequence no subject has: a server that does not know batches refuses the end mark instead of storing it."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """
    One message on its way into a stream.

    Attributes:
        subject: Where it goes.
        data: Its payload.
        expected_seq: The sequence the subject's last message must have, 0 for none.
        headers: Further headers.
    """

    subject: str
    data: bytes = field(repr=False)
    expected_seq: int
    headers: Mapping[str, str] = field(default_factory=dict)


def max_data_bytes(link: Link) -> int:
    """Return the most payload one message may have, beside our headers."""
    return link.max_payload - HEADER_BYTES


async def store(
    link: Link, messages: Sequence[Outgoing], *, on_answered: Callable[[int], None] | None = None
) -> list[Verdict]:
    """
    Store *messages* and say what became of each, in order; nothing is raised for a lost broker.

    Args:
        link: Connected; at most one message per subject, since conditions are checked one by one.
        messages: Each no larger than the broker's ``max_payload`` allows.
        on_answered: Told how many have their answer, from time to time.
    """
    progress = on_answered or _quiet
    if len(messages) < WORTH_A_BATCH or not has_fast_ingest(link.server_version):
        return await _store_singly(link, messages, progress)
    verdicts = await _store_batched(link, messages, progress)
    again = [index for index, verdict in enumerate(verdicts) if _is_batch_trouble(verdict)]
    if again:
        done = len(messages) - len(again)
        singly = await _store_singly(link, [messages[index] for index in again], lambda n: progress(done + n))
        for index, verdict in zip(again, singly, strict=True):
            verdicts[index] = verdict
    return verdicts


def _quiet(done: int) -> None:
    """Tell nobody."""


def _is_batch_trouble(verdict: Verdict) -> bool:
    """Say whether a single publish may succeed where the batch did not."""
    return isinstance(verdict, Refused) and verdict.err_code in (BATCHES_DISABLED, BATCH_UNKNOWN, STREAM_FULL)


def _headers(message: Outgoing) -> dict[str, str]:
    return {EXPECTED_SEQUENCE: str(message.expected_seq), **message.headers}


async def _store_batched(link: Link, messages: Sequence[Outgoing], progress: Callable[[int], None]) -> list[Verdict]:
    batch = Batch(len(messages))
    batch_id = secrets.token_hex(16)

    def take(msg: Msg) -> None:
        batch.take(msg.subject, msg.data, status=(msg.headers or {}).get("Status", ""))

    async with Inbox(link, take, below=".>") as inbox:

        async def mark(op: Op, place: int) -> None:
            reply = reply_subject(inbox.subject, batch_id, place, op)
            guard = {EXPECTED_SEQUENCE: str(_NEVER)}
            await inbox.nc.publish(messages[0].subject, b"", reply=reply, headers=guard)

        try:
            while not batch.is_over:
                if batch.may_send > 0:
                    await _send_window(inbox, batch, batch_id, messages)
                    if batch.sent == batch.size:
                        await mark(Op.END, batch.size + 1)
                elif not await _heard(inbox, mark, batch):
                    return batch.verdicts("the broker fell silent")
                if inbox.is_lost and not batch.is_over:
                    return batch.verdicts("the broker was lost")
                progress(batch.done)
        except nats.errors.Error:
            return batch.verdicts("the broker was lost")
    return batch.verdicts("the batch ended early")


async def _send_window(inbox: Inbox, batch: Batch, batch_id: str, messages: Sequence[Outgoing]) -> None:
    first = batch.sent
    # Counted before they leave: if sending fails half-way, nobody knows how many did.
    batch.sent += batch.may_send
    await send_frames(inbox.nc, _frames(inbox.subject, batch_id, messages, first, batch.sent))


def _frames(inbox: str, batch_id: str, messages: Sequence[Outgoing], first: int, end: int) -> Iterator[bytes]:
    for place in range(first + 1, end + 1):
        message = messages[place - 1]
        reply = reply_subject(inbox, batch_id, place, Op.APPEND if place > 1 else Op.START)
        yield build_frame(message.subject, reply, _headers(message), message.data)


async def _heard(inbox: Inbox, mark: Callable[[Op, int], Awaitable[None]], batch: Batch) -> bool:
    """Wait for news of the batch; ask for its state once before giving up."""
    if await inbox.wait(ANSWER_TIMEOUT_S):
        return True
    await mark(Op.PING, batch.sent)
    return await inbox.wait(ANSWER_TIMEOUT_S)


async def _store_singly(link: Link, messages: Sequence[Outgoing], progress: Callable[[int], None]) -> list[Verdict]:
    answers: dict[int, Verdict] = {}

    def take(msg: Msg) -> None:
        place = int(msg.subject.rsplit(".", 1)[-1])
        answers[place] = _single_verdict(msg)

    sent = 0
    reason = ""
    async with Inbox(link, take, below=".>") as inbox:
        try:
            while len(answers) < len(messages) and not reason:
                while sent < len(messages) and sent - len(answers) < SINGLES_AT_ONCE:
                    message = messages[sent]
                    sent += 1
                    reply = f"{inbox.subject}.{sent - 1}"
                    await inbox.nc.publish(message.subject, message.data, reply=reply, headers=_headers(message))
                if not await _answered(link, inbox, messages[:sent], answers):
                    reason = "the broker fell silent"
                elif inbox.is_lost:
                    reason = "the broker was lost"
                progress(len(answers))
        except (nats.errors.Error, BrokerUnreachableError):
            reason = "the broker was lost"
    return [
        answers.get(place) or (Unknown(reason) if place < sent else Unsent(reason)) for place in range(len(messages))
    ]


async def _answered(link: Link, inbox: Inbox, sent: Sequence[Outgoing], answers: dict[int, Verdict]) -> bool:
    """Wait for news; a denied message has no other answer than that its subject is denied by now."""
    if await inbox.wait(DENIAL_S):
        return True
    await link.flush(ANSWER_TIMEOUT_S)  # whatever the broker denies of what was sent, it has said now
    denied = {
        place: Refused(0, DENIED)
        for place, message in enumerate(sent)
        if place not in answers and message.subject in link.denied_subjects
    }
    answers.update(denied)
    return bool(denied) or await inbox.wait(ANSWER_TIMEOUT_S)


def _single_verdict(msg: Msg) -> Verdict:
    if (msg.headers or {}).get("Status"):
        return Refused(0, "no stream takes this subject")
    error = msgspec.json.decode(msg.data).get("error")
    return Refused(error.get("err_code", 0), error.get("description", "")) if error else Stored()
