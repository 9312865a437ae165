"""A publisher without a client library: ready-made bytes, so that what remains is the broker's own speed."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import urlsplit

from controlplane.batch import MAX_FLOW, MAX_OUTSTANDING_ACKS, Op, reply_subject
from controlplane.ingest import EXPECTED_SEQUENCE, Outgoing

DEADLINE_S = 60.0
PIPELINE = 4000
"""Publishes in flight, as many as nats.go has by default."""
PORTION = 500

_ACK = re.compile(rb'"type":"ack","seq":(\d+)')
_STORED = re.compile(rb'\{"stream":"weft-mounts",[^}\r]*"seq":\d+')
_COUNT = re.compile(rb'"batch":"[^"]*","count":(\d+)')
_TROUBLE = re.compile(rb'-ERR|"error":|"type":"(?:err|gap)"|NATS/1\.0 503')
_LONGEST = 512
"""Bytes kept of what was searched already: a frame may come in two pieces."""


class RawConnection(asyncio.Protocol):
    """Bytes out, and patterns looked for in the bytes that come in."""

    def __init__(self) -> None:
        self.received = b""
        self.stored = 0
        self._news = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Search what came; acknowledgements of single publishes are counted once each."""
        self.received += data
        if _TROUBLE.search(self.received):
            raise RuntimeError(f"cannot publish: {self.received[-300:]!r}")
        last = 0
        for found in _STORED.finditer(self.received):
            self.stored += 1
            last = found.end()
        keep = max(last, len(self.received) - _LONGEST)
        self.received = self.received[keep:] if keep > 0 else self.received
        self._news.set()

    def send(self, data: bytes) -> None:
        """Write *data*."""
        assert self._transport is not None
        self._transport.write(data)

    async def news(self) -> None:
        """Wait until something more came."""
        self._news.clear()
        async with asyncio.timeout(DEADLINE_S):
            await self._news.wait()

    async def wait_for(self, pattern: bytes) -> None:
        """Wait until *pattern* came."""
        while pattern not in self.received:
            await self.news()

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()


async def connect(url: str, inbox: str) -> RawConnection:
    """Connect to the broker at *url* and listen to *inbox* and below."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 4222
    _, connection = await asyncio.get_running_loop().create_connection(RawConnection, host, port)
    connection.send(
        b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"bench"}\r\n'
    )
    connection.send(f"SUB {inbox}.> 1\r\nPING\r\n".encode())
    await connection.wait_for(b"PONG\r\n")
    return connection


class ReadyBatch:
    """One fast-ingest batch, encoded before anybody looks at the clock."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._size = len(messages)
        batch = secrets.token_hex(16)
        frames = [
            _frame(message, reply_subject(self.inbox, batch, place, Op.APPEND if place > 1 else Op.START))
            for place, message in enumerate(messages, 1)
        ]
        end = Outgoing(messages[0].subject, b"", 2**62)
        self._portions = list(_portions(frames, MAX_FLOW))
        self._end = _frame(end, reply_subject(self.inbox, batch, self._size + 1, Op.END))

    async def publish(self, connection: RawConnection) -> None:
        """Send it, never further ahead than the product would be, and wait for the final answer."""
        acknowledged = 0
        for number, portion in enumerate(self._portions):
            while number * MAX_FLOW >= acknowledged + MAX_FLOW * MAX_OUTSTANDING_ACKS:
                await connection.news()
                acknowledged = max([acknowledged, *(int(seq) for seq in _ACK.findall(connection.received))])
            connection.send(portion)
        connection.send(self._end)
        while not (counted := _COUNT.search(connection.received)):
            await connection.news()
        assert int(counted[1]) == self._size, f"only {int(counted[1])} of {self._size} messages were stored"


class ReadyPipeline:
    """Single publishes without conditions, one acknowledgement each, as many at once as nats.go sends."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.inbox = f"_INBOX.{secrets.token_hex(8)}"
        self._size = len(messages)
        self._portions = list(_portions([_plain_frame(each, f"{self.inbox}.1") for each in messages], PORTION))

    async def publish(self, connection: RawConnection) -> None:
        """Send everything and wait for every acknowledgement."""
        for number, portion in enumerate(self._portions):
            while number * PORTION - connection.stored > PIPELINE - PORTION:
                await connection.news()
            connection.send(portion)
        while connection.stored < self._size:
            await connection.news()


def _frame(message: Outgoing, reply: str) -> bytes:
    head = f"NATS/1.0\r\n{EXPECTED_SEQUENCE}: {message.expected_seq}\r\n\r\n".encode()
    line = f"HPUB {message.subject} {reply} {len(head)} {len(head) + len(message.data)}\r\n".encode()
    return line + head + message.data + b"\r\n"


def _plain_frame(message: Outgoing, reply: str) -> bytes:
    return f"PUB {message.subject} {reply} {len(message.data)}\r\n".encode() + message.data + b"\r\n"


def _portions(frames: Sequence[bytes], size: int) -> Iterator[bytes]:
    for start in range(0, len(frames), size):
        yield b"".join(frames[start : start + size])
