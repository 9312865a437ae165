"""Following a stream in order, from a point in time and for as long as wanted, whatever happens to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from controlplane.consumer import consume
from controlplane.jetstream import StreamFacts, stream_facts
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError
from weft.link import Link

RECONNECT_S = 5.0
PAUSE_S = 0.5
"""Before trying again: a cluster without a leader refuses at once."""


async def follow_messages(
    link: Link, stream: str, subjects: str, *, since_s: float, is_endless: bool
) -> AsyncIterator[StoredMessage]:
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
    position: dict[str, Any] = {
        "deliver_policy": "by_start_time",
        "opt_start_time": datetime.fromtimestamp(max(facts.now_s - since_s, 0.0), UTC).isoformat(),
    }
    while True:
        try:
            async for message in consume(link, stream, subjects, position, is_endless=is_endless):
                yield message
                position = {"deliver_policy": "by_start_sequence", "opt_start_seq": message.seq + 1}
            return
        except BrokerUnreachableError:
            if not is_endless:
                raise
        await _until_back(link)
        now = await _facts_or_none(link, stream)
        if now is not None and now.created != facts.created:
            # Another stream under the same name begins counting anew.
            facts, position = now, {"deliver_policy": "all"}


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
