"""A short-lived consumer: what a stream holds, in its order and with nothing missing, now or from now on."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from nats.aio.msg import Msg

from controlplane.delivery import Delivery
from controlplane.inbox import Inbox
from controlplane.jetstream import ApiError, ask
from controlplane.stored import StoredMessage
from weft.errors import BrokerUnreachableError, StreamMissingError
from weft.link import Link

SILENCE_S: Final = 5.0
"""Twice the heartbeat: a consumer that says nothing for so long is gone."""


async def consume(
    link: Link, stream: str, subjects: str, position: Mapping[str, Any], *, is_endless: bool = False
) -> AsyncGenerator[StoredMessage, None]:
    """
    Yield what one consumer delivers, each message once.

    Args:
        link: Connected.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        position: Where to begin: the consumer's ``deliver_policy``, with what belongs to it.
        is_endless: Whether to go on with what is stored from now on.

    Raises:
        BrokerUnreachableError: The broker was lost or fell silent, or a message was lost on the way.
        BrokerError: As :func:`controlplane.jetstream.ask`.
    """
    arrived = Arrived()
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
                if arrived.is_idle and not is_endless and await _is_through(link, stream, name, arrived):
                    return
        finally:
            if not (inbox.is_lost or arrived.is_silent):
                await _forget(link, stream, name)


async def _is_through(link: Link, stream: str, name: str, arrived: Arrived) -> bool:
    """Say whether nothing more will come: what was still to be delivered may have been removed from the stream."""
    state = await ask(link, f"CONSUMER.INFO.{stream}.{name}", stream=stream)
    return bool(state["num_pending"] == 0 and state["delivered"]["consumer_seq"] == arrived.count)


async def _forget(link: Link, stream: str, name: str) -> None:
    """Delete a consumer that has served; one that cannot be asked ends by itself."""
    try:
        await ask(link, f"CONSUMER.DELETE.{stream}.{name}", stream=stream)
    except (ApiError, StreamMissingError, BrokerUnreachableError):
        return


@dataclass(slots=True)
class Arrived:
    """
    What one consumer delivered and nobody has taken yet.

    Attributes:
        deliveries: In order; nothing from behind a gap.
        count: How many came.
        has_gap: Whether any was lost on the way.
        is_silent: Whether not even heartbeats come any more.
        is_idle: Whether the last thing heard was that there is nothing to deliver for now.
        flow_reply: Where to answer that the server may go on.
    """

    deliveries: deque[Delivery] = field(default_factory=deque)
    count: int = 0
    has_gap: bool = False
    is_silent: bool = False
    is_idle: bool = False
    flow_reply: str = ""

    def take(self, msg: Msg) -> None:
        """Keep one message; must not wait."""
        delivery = Delivery.parse(msg)
        if delivery is not None:
            self.is_idle = False
            self.count += 1
            self.has_gap = self.has_gap or delivery.consumer_seq != self.count
            if not self.has_gap:
                self.deliveries.append(delivery)
            return
        headers = msg.headers or {}
        self.is_idle = not msg.reply and "Nats-Consumer-Stalled" not in headers
        self.flow_reply = msg.reply or headers.get("Nats-Consumer-Stalled", "") or self.flow_reply
        self.has_gap = self.has_gap or int(headers.get("Nats-Last-Consumer", self.count)) > self.count

    async def until_more(self, inbox: Inbox, stream: str) -> None:
        """
        Wait for the next message or heartbeat.

        Raises:
            BrokerUnreachableError: It will not come.
        """
        if not await inbox.wait(SILENCE_S):
            self.is_silent = True
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: the broker fell silent")
        if inbox.is_lost and not self.deliveries:
            raise inbox.lost_error(f"read stream {stream!r}")
        if self.has_gap:
            raise BrokerUnreachableError(f"cannot read stream {stream!r}: messages were lost on the way")
        if self.flow_reply:
            reply, self.flow_reply = self.flow_reply, ""
            await inbox.nc.publish(reply)
