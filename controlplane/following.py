"""Following a stream in order, from a point in time and for as long as wanted, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from nats.aio.msg import Msg

from controlplane.delivery import Delivery
from controlplane.inbox import Inbox
from controlplane.jetstream import StreamFacts, ask, stream_facts
from controlplane.reader import forget_consumer
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError
from weft.link import Link

SILENCE_S = 5.0
"""Twice the heartbeat: a consumer that says nothing for so long is gone."""
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
            async for message in _consume(link, stream, subjects, position, is_endless=is_endless):
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


async def _consume(
    link: Link, stream: str, subjects: str, position: dict[str, Any], *, is_endless: bool
) -> AsyncIterator[StoredMessage]:
    """Yield what one consumer delivers, until it has no more or fails."""
    arrived = _Arrived()
    name = f"weft-{secrets.token_hex(6)}"
    async with Inbox(link, arrived.take) as inbox:
        config = {
            **position,
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
        try:
            if not is_endless and created["num_pending"] == 0 and not arrived.deliveries:
                return
            while True:
                while arrived.deliveries:
                    delivery = arrived.deliveries.popleft()
                    yield delivery.message
                    if delivery.pending == 0 and not is_endless:
                        return
                await arrived.until_more(inbox, stream)
        finally:
            if not inbox.is_lost:
                await forget_consumer(link, stream, name)


@dataclass(slots=True)
class _Arrived:
    """What one consumer delivered and nobody has taken yet."""

    deliveries: deque[Delivery] = field(default_factory=deque)
    count: int = 0
    has_gap: bool = False
    flow_reply: str = ""

    def take(self, msg: Msg) -> None:
        """Keep one message; must not wait."""
        delivery = Delivery.parse(msg)
        if delivery is not None:
            self.count += 1
            self.has_gap = self.has_gap or delivery.consumer_seq != self.count
            self.deliveries.append(delivery)
            return
        headers = msg.headers or {}
        self.flow_reply = msg.reply or headers.get("Nats-Consumer-Stalled", "") or self.flow_reply
        self.has_gap = self.has_gap or int(headers.get("Nats-Last-Consumer", self.count)) > self.count

    async def until_more(self, inbox: Inbox, stream: str) -> None:
        """
        Wait for the next message or heartbeat.

        Raises:
            BrokerUnreachableError: It will not come.
        """
        if not await inbox.wait(SILENCE_S):
            raise BrokerUnreachableError(f"cannot follow stream {stream!r}: the broker fell silent")
        if inbox.is_lost and not self.deliveries:
            raise inbox.lost_error(f"follow stream {stream!r}")
        if self.has_gap:
            raise BrokerUnreachableError(f"cannot follow stream {stream!r}: messages were lost on the way")
        if self.flow_reply:
            reply, self.flow_reply = self.flow_reply, ""
            await inbox.nc.publish(reply)
