"""One HTTP question over an open stream: all that masters and control sockets need."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

_BODY_AT_MOST: Final = 8 << 20
"""A queue of 50,000 uploads is about this long; whoever sends more is not who we asked."""
_CHUNK: Final = 64 << 10


class HttpError(Exception):
    """The other side answered with something that is not HTTP, or with too much of it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status code and body of an answer."""

    status: int
    body: bytes


async def call(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, host: str, target: str, content: bytes | None = None
) -> Reply:
    """
    Ask for *target* and read the whole answer; the stream is closed afterwards.

    HTTP/1.0 keeps it simple: no chunks, and the answer ends with the connection or its stated length. The caller sets
    the deadline.

    Args:
        reader: Of a new connection.
        writer: Of the same connection.
        host: What the Host header says.
        target: Path and query, already encoded.
        content: JSON to post; None gets.

    Raises:
        HttpError: the answer cannot be understood.
        OSError: the connection broke.
    """
    try:
        writer.write(_build_request(host, target, content))
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = _parse_head(head)
        return Reply(status, await _read_body(reader, length))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
        raise HttpError(f"cannot understand the answer from {host}") from exc
    finally:
        writer.close()


def _build_request(host: str, target: str, content: bytes | None) -> bytes:
    lines = [f"{'GET' if content is None else 'POST'} {target} HTTP/1.0", f"Host: {host}"]
    if content is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (content or b"")


def _parse_head(head: bytes) -> tuple[int, int | None]:
    first, *fields = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise HttpError("cannot understand the answer: it is not HTTP")
    lengths = [value.strip() for name, _, value in (field.partition(":") for field in fields) if _is_length(name)]
    return int(words[1]), int(lengths[0]) if lengths and lengths[0].isdigit() else None


def _is_length(name: str) -> bool:
    return name.strip().lower() == "content-length"


async def _read_body(reader: asyncio.StreamReader, length: int | None) -> bytes:
    if length is not None:
        if length > _BODY_AT_MOST:
            raise HttpError(f"cannot read an answer of {length} bytes")
        return await reader.readexactly(length)
    body = bytearray()
    while chunk := await reader.read(_CHUNK):
        body += chunk
        if len(body) > _BODY_AT_MOST:
            raise HttpError(f"cannot read an answer of more than {_BODY_AT_MOST} bytes")
    return bytes(body)
