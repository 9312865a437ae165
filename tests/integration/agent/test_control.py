"""The control socket against callers that mean ill or know no better."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.control import MAX_LINE_BYTES, MAX_PER_USER, SOCKET_NAME, ControlServer

pytestmark = pytest.mark.integration

NOBODY = 65534
IDLE_CALLERS = """
import socket, sys
callers = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for caller in callers:
    caller.connect(sys.argv[1])
print(callers[-1].recv(200).decode().strip(), flush=True)
sys.stdin.read()
"""


async def answer(request: dict[str, Any], may_change: bool) -> dict[str, Any]:
    if request.get("do") == "wait":
        await asyncio.Event().wait()
    return {"may_change": may_change}


@pytest.fixture
def open_directory(directory: Path) -> Path:
    """A directory that everybody can enter."""
    directory.chmod(0o755)
    return directory


@pytest.fixture
async def path(open_directory: Path) -> AsyncIterator[Path]:
    """The socket of a server that everybody can reach."""
    server = ControlServer(open_directory, answer)
    await server.start()
    yield open_directory / SOCKET_NAME
    await server.close()


async def ask(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line + b"\n")
        async with asyncio.timeout(5):
            answered: dict[str, Any] = json.loads(await reader.readline())
        return answered
    finally:
        writer.close()


async def test_idle_callers_of_a_user_do_not_keep_root_out(path: Path) -> None:
    """Nor can root's shutdown be blocked by them; the user is told why there is no answer."""
    user = await asyncio.create_subprocess_exec(
        *("/usr/bin/python3", "-I", "-c", IDLE_CALLERS, str(path), str(MAX_PER_USER + 8)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=NOBODY,
        cwd="/",
    )
    assert user.stdin is not None
    assert user.stdout is not None
    async with asyncio.timeout(10):
        assert b"questions already" in await user.stdout.readline()
    assert await ask(path, b'{"do":"status"}') == {"may_change": True}
    user.stdin.close()
    await user.wait()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"{", id="truncated"),
        pytest.param(b"[]", id="another kind"),
        pytest.param(b"[" * 50_000, id="nested without end"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b'{"do":"\xff"}', id="no text inside"),
    ],
)
async def test_what_is_no_request_gets_a_sentence(path: Path, line: bytes) -> None:
    """And the next caller is answered."""
    assert (await ask(path, line))["error"].startswith("cannot understand the request")
    assert await ask(path, b"{}") == {"may_change": True}


async def test_a_line_without_end_is_dropped(path: Path) -> None:
    """It would fill the memory of a process that runs as root."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"x" * (2 * MAX_LINE_BYTES))
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_the_end_of_the_server_is_quiet(directory: Path) -> None:
    """Callers that still wait are let go; asyncio has nothing to complain about."""
    complaints: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    server = ControlServer(directory, answer)
    await server.start()
    reader, writer = await asyncio.open_unix_connection(directory / SOCKET_NAME)
    writer.write(b'{"do":"status"}\n{"do":"wait"}\n')
    await reader.readline()
    await server.close()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert complaints == []
