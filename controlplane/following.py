"""Following a stream in order, from a point in time and for as long as wanted, whatever happens to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from nats.aio.msg import Msg

from controlplane.direct import read_stored
from controlplane.jetstream import StreamFacts, stream_facts
from controlplane.repeats import heard_on
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError
from weft.link import Link

RECONNECT_S = 5.0
PAUSE_S = 0.5
"""Before trying again: a cluster without a leader refuses at once."""
LOOK_AGAIN_S = 5.0
"""When to read although nothing was heard: a copy that is lost on the way is announced by nobody."""


async def follow_messages(
    link: Link, stream: str, subjects: str, *, since_s: float, is_endless: bool
) -> AsyncGenerator[StoredMessage, None]:
    """
    Yield what *stream* holds, in its order, each message once.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        since_s: How many seconds back to begin, by the broker's clock.
        is_endless: Whether to go on with what is stored from now on; a lost broker is waited for then.

    Raises:
        BrokerUnreachableError: The broker was lost, and it was not to go on for ever.
        BrokerError: As :func:`controlplane.jetstream.ask`.
    """
    facts = await stream_facts(link, stream)
    begin_s: float | None = max(facts.now_s - since_s, 0.0)
    reached = 0
    until_seq = None if is_endless else facts.last_seq
    news = asyncio.Event()

    async def hear(_: Msg) -> None:
        news.set()

    # What is stored is read from the stream; what is heard only says that there is something.
    subscription = await link.subscribe(heard_on(facts.config, subjects), hear) if is_endless else None
    remove = link.on_connected(news.set)
    try:
        while True:
            news.clear()
            try:
                reading = read_stored(link, stream, subjects, after_seq=reached, since_s=begin_s, until_seq=until_seq)
                async with aclosing(reading):
                    async for message in reading:
                        yield message
                        reached = message.seq
                if not is_endless:
                    return
                await _until_news(news)
            except BrokerUnreachableError:
                if not is_endless:
                    raise
                await _until_back(link)
            now = await _facts_or_none(link, stream)
            if now is not None and now.created != facts.created:
                # Another stream under the same name begins counting anew.
                facts, reached, begin_s = now, 0, None
    finally:
        remove()
        if subscription is not None:
            await subscription.unsubscribe()


async def _until_news(news: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_AGAIN_S):
            await news.wait()
    except TimeoutError:
        return


async def _until_back(link: Link) -> None:
    while True:
        await asyncio.sleep(PAUSE_S)
        try:
            await link.wait_connected(RECONNECT_S)
            return
        except BrokerUnreachableError:
            continue


async def _facts_or_none(link: Link, stream: str) -> StreamFacts | None:
    try:
        return await stream_facts(link, stream)
    except BrokerUnreachableError:
        return None
