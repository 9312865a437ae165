"""Rules about asking one HTTP question."""

from __future__ import annotations

import asyncio

import pytest

from agent.drivers.http_call import HttpError, Reply, call


async def ask(answer: bytes, *, content: bytes | None = None) -> tuple[Reply, bytes]:
    """Ask a server that gives *answer* and closes; return what was made of it and what the server was asked."""
    asked = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n") + (await reader.readexactly(len(content or b""))))
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server, asyncio.timeout(5):
        streams = await asyncio.open_connection(*server.sockets[0].getsockname())
        reply = await call(*streams, host="there", target="/a?b=c", content=content)
        return reply, await asked


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Reply(200, b"{}"), id="with its length"),
        pytest.param(b"HTTP/1.0 404 No\r\n\r\nnone", Reply(404, b"none"), id="until the end"),
        pytest.param(b"HTTP/1.0 200\r\n\r\n", Reply(200, b""), id="without reason or body"),
    ],
)
async def test_an_answer_is_read_to_its_end(answer: bytes, reply: Reply) -> None:
    """Whether it states its length or ends with the connection."""
    assert (await ask(answer))[0] == reply


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", id="cut short"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", id="too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, id="endless head"),
    ],
)
async def test_what_cannot_be_an_answer_is_an_error(answer: bytes) -> None:
    """A port may belong to anybody."""
    with pytest.raises(HttpError):
        await ask(answer)


async def test_content_is_posted_as_json() -> None:
    """Parameters stand in the body, where no log and no process list shows them."""
    _, asked = await ask(b"HTTP/1.0 200 OK\r\n\r\n", content=b'{"k":1}')
    assert asked.startswith(b"POST /a?b=c HTTP/1.0\r\nHost: there\r\n")
    assert asked.endswith(b'Content-Length: 7\r\n\r\n{"k":1}')
