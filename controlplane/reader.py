"""Reading a stream's last messages: many at once by Direct Get, few through the leader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from controlplane.direct import EACH, read_each, read_stored
from controlplane.jetstream import StreamFacts, first_message_after, last_message, message_at, read_subjects
from controlplane.jetstream import stream_facts as ask_facts
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError
from weft.link import Link

FEW = 256
"""Up to here one question per subject is cheaper than reading everything; a server drops its queue at 10,000."""
QUESTIONS_AT_ONCE = 64
CATCH_UP_S = 10.0
"""How long a replica may need to reach what the leader already has."""
CATCH_UP_PAUSE_S = 0.05
MUCH_HISTORY = 4
"""Messages for each subject, from which on reading them all takes longer than asking for the last ones by name."""
SAME_TIME_S = 1e-3
"""A message's time is written in two ways, and read into a float from both."""


@dataclass(frozen=True)
class Reading:
    """
    What a stream held, complete as of ``facts.last_seq``.

    Attributes:
        facts: What the leader said before anything was read.
        last: The last message on each subject.
        reached: Up to here nothing is missing; some of *last* may be newer.
    """

    facts: StreamFacts
    last: Mapping[str, StoredMessage]
    reached: int

    @cached_property
    def newest(self) -> StoredMessage | None:
        """The message that was stored last, None where there is none."""
        return max(self.last.values(), key=lambda message: message.seq, default=None)


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

    Direct Get may be answered by a replica that lags, so the leader's ``last_seq`` is asked first, and the reading
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
    facts, is_continued = await asyncio.gather(ask_facts(link, stream), _is_continued(link, stream, after))
    if after is not None and (not is_continued or after.facts.created != facts.created):
        after = None
    if after is None and facts.messages > MUCH_HISTORY * facts.subjects:
        whole = await _read_each(link, stream, subjects, facts)
        if whole is not None:
            return Reading(facts, whole, facts.last_seq)
    last = dict(after.last) if after is not None else {}
    reached = after.reached if after is not None else 0
    deadline_s = asyncio.get_running_loop().time() + CATCH_UP_S
    while reached < facts.last_seq:
        for message in await read_messages(link, stream, subjects, after_seq=reached, until_seq=facts.last_seq):
            last[message.subject] = message
            reached = max(reached, message.seq)
        # The newest sequence may belong to a message that was removed: then the leader has nothing more.
        if reached >= facts.last_seq or await first_message_after(link, stream, subjects, reached) is None:
            break
        if asyncio.get_running_loop().time() > deadline_s:
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: the replica that answers stays behind")
        await asyncio.sleep(CATCH_UP_PAUSE_S)
    return Reading(facts, last, reached)


async def _read_each(link: Link, stream: str, subjects: str, facts: StreamFacts) -> dict[str, StoredMessage] | None:
    """
    Read the last message on every subject by naming it: earlier editions are many times as much.

    Returns:
        None where that does not work, or not completely: then everything is read.
    """
    names = sorted(await read_subjects(link, stream, subjects))
    last: dict[str, StoredMessage] = {}
    for first in range(0, len(names), EACH):
        found = await read_each(link, stream, names[first : first + EACH], at_least=facts.last_seq)
        if found is None:
            return None
        last |= {message.subject: message for message in found}
    return last


async def _is_continued(link: Link, stream: str, reading: Reading | None) -> bool:
    """
    Say whether the stream still has the newest message that was read.

    A store that lost its end, or was put back, soon has as many messages again, and they are others.
    """
    known = reading.newest if reading is not None else None
    if known is None:
        return False
    found = await message_at(link, stream, known.seq)
    if found is None or (found.subject, found.data) != (known.subject, known.data):
        return False
    return abs(found.stored_at_s - known.stored_at_s) < SAME_TIME_S


async def read_messages(
    link: Link, stream: str, subjects: str, *, after_seq: int = 0, until_seq: int | None = None
) -> list[StoredMessage]:
    """
    Read what the stream holds now, once, in order.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        after_seq: Leave out everything up to this sequence.
        until_seq: Ask for no more once this sequence is reached.

    Raises:
        BrokerUnreachableError: The broker was lost or fell silent, or a message was lost on the way.
    """
    reading = read_stored(link, stream, subjects, after_seq=after_seq, until_seq=until_seq)
    return [message async for message in reading]
