"""Saying something as a guest: its streams give no answer, so whoever must know that it was stored looks."""

from __future__ import annotations

import asyncio

from nats.aio.client import Client

from controlplane.jetstream import last_message
from weft.link import Link
from weft.wire.subjects import GUEST_EVENTS_STREAM, STATUS_PREFIX, STATUS_STREAM

PATIENCE_S = 10.0


async def tell(nc: Client, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
    """Publish a report or an event, and return when its stream has it."""
    stream = STATUS_STREAM if subject.startswith(STATUS_PREFIX) else GUEST_EVENTS_STREAM
    before = await last_seq(nc, stream)
    await nc.publish(subject, data, headers=headers)
    async with asyncio.timeout(PATIENCE_S):
        while await last_seq(nc, stream) == before:
            await nc.flush()


async def until_stored(reader: Link, stream: str, subject: str, data: bytes) -> None:
    """Return when the last message on *subject* is *data*, as *reader* finds it."""
    async with asyncio.timeout(PATIENCE_S):
        while (message := await last_message(reader, stream, subject)) is None or message.data != data:
            await reader.flush()


async def last_seq(nc: Client, stream: str) -> int:
    """Return the newest sequence of *stream*."""
    return (await nc.jetstream().stream_info(stream)).state.last_seq
