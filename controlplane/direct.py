"""
Reading a stream in its order by Direct Get, many messages at a time, with nothing missing.

No consumer: the subject that one delivers to stands in the request, where a broker checks no permission.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg

from controlplane.inbox import Inbox
from controlplane.jetstream import REQUEST_TIMEOUT_S, api_subject, first_message_after, parse_time_s
from controlplane.stored import StoredMessage
from weft.errors import BrokerDeniedError, BrokerError, BrokerUnreachableError
from weft.link import Link
from weft.link.connection import translated

PORTION: Final = 4096
"""Messages per question: ten thousand VMs take three."""
EACH: Final = 256
"""Subjects per question, where each is named; a server takes four times as many."""
PORTION_BYTES: Final = 4 * 1024 * 1024
"""A portion waits in memory; one message that is larger comes alone."""
DENIAL_S: Final = 0.25
"""Silence after which it is asked whether the broker denied the question; it gives that no answer."""


async def read_stored(
    link: Link,
    stream: str,
    subjects: str,
    *,
    after_seq: int = 0,
    since_s: float | None = None,
    until_seq: int | None = None,
) -> AsyncGenerator[StoredMessage, None]:
    """
    Yield what *stream* holds now on *subjects*, in order, each message once.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        after_seq: Leave out everything up to this sequence.
        since_s: Leave out what was stored before this Unix time.
        until_seq: Ask for no more once this sequence is reached: a stream may grow as fast as it is read.

    Raises:
        BrokerUnreachableError: The broker was lost or fell silent, or a message was lost on the way.
        BrokerError: As :func:`controlplane.jetstream.ask`.
    """
    question = api_subject(link, f"DIRECT.GET.{stream}")
    answers = Answers()
    async with Inbox(link, answers.take) as inbox:
        while not answers.is_end and (until_seq is None or after_seq < until_seq):
            body: dict[str, Any] = {"next_by_subj": subjects, "batch": PORTION, "max_bytes": PORTION_BYTES}
            if since_s is not None and not after_seq:
                body["start_time"] = _written(since_s)
            else:
                body["seq"] = after_seq + 1
            await _ask(inbox, question, body)
            await _until_complete(link, inbox, answers, stream, question)
            if answers.problem:
                raise BrokerError(f"cannot read stream {stream!r}: {answers.problem}")
            if answers.has_no_responder:
                break
            for message in answers.portion():
                yield message
                after_seq = message.seq
    if answers.has_no_responder:
        # A stream that another program made, without Direct Get: its leader tells one message after the other.
        while (found := await first_message_after(link, stream, subjects, after_seq)) is not None:
            if until_seq is not None and found.seq > until_seq:
                break
            if since_s is None or found.stored_at_s >= since_s:
                yield found
            after_seq = found.seq


async def read_each(link: Link, stream: str, subjects: Sequence[str], *, at_least: int) -> list[StoredMessage] | None:
    """
    Read the last message on each of *subjects*, at most ``EACH`` of them, as of one moment.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Without wildcards; each has a message.
        at_least: A sequence that whoever answers must have reached.

    Returns:
        The messages; None where a replica lags, the answer is cut off, or the server cannot answer this.

    Raises:
        BrokerError: As :func:`read_stored`.
    """
    question = api_subject(link, f"DIRECT.GET.{stream}")
    answers = Answers()
    async with Inbox(link, answers.take) as inbox:
        await _ask(inbox, question, {"multi_last": list(subjects)})
        await _until_complete(link, inbox, answers, stream, question)
    messages = answers.portion()
    is_whole = answers.is_end and answers.up_to >= at_least and len(messages) >= len(subjects)
    return messages if is_whole else None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a point in time lies in a stream: the first sequence from then on, None for none, and how many follow."""

    seq: int | None
    count: int


async def position_at(link: Link, stream: str, subjects: str, time_s: float) -> Position:
    """
    Find where the Unix time *time_s* lies among the messages on *subjects*, without reading them.

    Raises:
        BrokerError: As :func:`read_stored`.
    """
    question = api_subject(link, f"DIRECT.GET.{stream}")
    answers = Answers()
    async with Inbox(link, answers.take) as inbox:
        await _ask(inbox, question, {"next_by_subj": subjects, "batch": 1, "start_time": _written(time_s)})
        await _until_complete(link, inbox, answers, stream, question)
    if answers.problem:
        raise BrokerError(f"cannot read stream {stream!r}: {answers.problem}")
    found = answers.portion()
    if answers.has_no_responder:
        found = [message async for message in read_stored(link, stream, subjects, since_s=time_s)]
    return Position(found[0].seq if found else None, len(found) + answers.left)


def _written(time_s: float) -> str:
    return datetime.fromtimestamp(max(time_s, 0.0), UTC).isoformat()


async def _ask(inbox: Inbox, question: str, body: Mapping[str, Any]) -> None:
    try:
        await inbox.nc.publish(question, json.dumps(body).encode(), reply=inbox.subject)
    except nats.errors.Error as exc:
        raise translated(exc, question) from exc


async def _until_complete(link: Link, inbox: Inbox, answers: Answers, stream: str, question: str) -> None:
    doing = f"read stream {stream!r}"
    while not answers.is_complete:
        if not await inbox.wait(DENIAL_S):
            await link.flush(REQUEST_TIMEOUT_S)
            if question in link.denied_subjects:
                raise BrokerDeniedError(f"cannot {doing}: the broker denies {question!r} to these credentials")
            if not answers.is_complete and not await inbox.wait(REQUEST_TIMEOUT_S):
                raise BrokerUnreachableError(f"cannot {doing}: the broker fell silent")
        if answers.has_gap:
            raise BrokerUnreachableError(f"cannot {doing}: messages were lost on the way")
        if inbox.is_lost and not answers.is_complete:
            raise inbox.lost_error(doing)


@dataclass(slots=True)
class Answers:
    """
    What came in answer to one question, and whether all of it.

    Attributes:
        is_complete: Nothing more comes for this question.
        is_end: The stream has nothing more, as of this answer.
        has_gap: A message was lost on the way.
        has_no_responder: Nobody answers Direct Get for this stream.
        problem: Why the broker refuses the question.
        up_to: How far whoever answers had come, where it says so.
        left: How many messages come after those of this answer.
    """

    is_complete: bool = False
    is_end: bool = False
    has_gap: bool = False
    has_no_responder: bool = False
    problem: str = ""
    up_to: int = 0
    left: int = 0
    _messages: list[StoredMessage] = field(default_factory=list)

    def portion(self) -> list[StoredMessage]:
        """Hand out what came, and be ready for the next question's answer."""
        messages, self._messages = self._messages, []
        self.is_complete = False
        return messages

    def take(self, msg: Msg) -> None:
        """Keep one message; must not wait."""
        headers: Mapping[str, str] = msg.headers or {}
        # What the broker adds to a message comes last, and wins; a status may be the sender's own header.
        if "Nats-Sequence" not in headers:
            self._finish(headers.get("Status", ""), headers)
            return
        before = int(headers.get("Nats-Last-Sequence", 0))
        last = self._messages[-1].seq if self._messages else 0
        self.has_gap = self.has_gap or before != last
        seq, at_s = int(headers["Nats-Sequence"]), parse_time_s(headers["Nats-Time-Stamp"])
        self._messages.append(StoredMessage(headers["Nats-Subject"], seq, msg.data, at_s))
        # Servers before 2.11 know no portions: they answer with one message, and say nothing of what is left.
        self.is_complete = self.is_complete or "Nats-Num-Pending" not in headers

    def _finish(self, status: str, headers: Mapping[str, str]) -> None:
        self.is_complete = True
        self.has_no_responder = status == "503"
        if status not in ("204", "404", "503"):
            self.problem = f"{headers.get('Description', 'no reason given')} ({status})".lower()
        self.left = int(headers.get("Nats-Num-Pending", 0))
        self.is_end = status != "204" or headers.get("Nats-Num-Pending") == "0"
        self.up_to = int(headers.get("Nats-UpTo-Sequence", 0))
        last = headers.get("Nats-Last-Sequence")
        self.has_gap = self.has_gap or (
            last is not None and bool(self._messages) and int(last) != self._messages[-1].seq
        )
