"""A reader without a client library: it counts what a consumer delivers, so that what remains is the broker's speed."""

from __future__ import annotations

import asyncio
import secrets
from typing import cast
from urllib.parse import urlsplit

from controlplane.jetstream import ask
from weft.link import Link

DEADLINE_S = 60.0
_DELIVERY = b" $JS.ACK."
"""Stands once in the line before each delivered message, and in none of the messages."""


class _Counting(asyncio.Protocol):
    """Counts deliveries in what comes in."""

    def __init__(self) -> None:
        self.count = 0
        self._tail = b""
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Count; what may be the beginning of one more is looked at again with what follows."""
        text = self._tail + data
        self.count += text.count(_DELIVERY)
        self._tail = text[1 - len(_DELIVERY) :]
        self._news.set()

    def send(self, data: bytes) -> None:
        """Write *data*."""
        assert self._transport is not None
        self._transport.write(data)

    async def wait_for(self, text: bytes) -> None:
        """Wait until the last thing that came is *text*."""
        while not self._tail.endswith(text):
            await self._wait()

    async def wait_for_count(self, count: int) -> None:
        """Wait until so many deliveries came."""
        while self.count < count:
            await self._wait()

    async def _wait(self) -> None:
        self._news.clear()
        async with asyncio.timeout(DEADLINE_S):
            await self._news.wait()

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()


async def read_raw(link: Link, url: str, stream: str, subjects: str, *, last_per_subject: bool = True) -> int:
    """
    Let the broker deliver what a stream holds, and return how many messages came.

    Args:
        link: For asking for a consumer.
        url: Of the broker, for a connection of its own.
        stream: The stream.
        subjects: Wildcard of what is wanted.
        last_per_subject: Only the last message on each subject.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 4222
    _, connection = await asyncio.get_running_loop().create_connection(_Counting, host, port)
    inbox = f"_INBOX.{secrets.token_hex(8)}"
    name = f"bench-{secrets.token_hex(6)}"
    try:
        connection.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"lang":"bench"}\r\n')
        connection.send(f"SUB {inbox} 1\r\nPING\r\n".encode())
        await connection.wait_for(b"PONG\r\n")
        config = {
            "name": name,
            "deliver_policy": "last_per_subject" if last_per_subject else "all",
            "filter_subject": subjects,
            "deliver_subject": inbox,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": stream, "config": config, "action": "create"}
        created = await ask(link, f"CONSUMER.CREATE.{stream}.{name}.{subjects}", body, stream=stream)
        await connection.wait_for_count(created["num_pending"])
        await ask(link, f"CONSUMER.DELETE.{stream}.{name}", stream=stream)
        return connection.count
    finally:
        connection.close()
