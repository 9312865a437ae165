"""The control socket: local questions to the agent, one JSON object per line, from any user; orders from root only."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from agent.disk import set_aside
from weft.errors import WeftError

SOCKET_NAME = "agent.sock"
MAX_LINE_BYTES = 64 * 1024
MAX_PER_USER = 4
"""Connections of one user at once: a person at two terminals, and a script."""

MAX_USERS = 64
"""Connections of all users together; root has as many of its own, whom no user keeps out."""

PATIENCE_S = 10.0
"""For a caller to send a line, and to read an answer; whoever takes longer is only holding a place."""

PAUSE_S = 0.1
"""Between two answers to one user: a status of a thousand shares takes 20 ms, of which mounting has its share too."""

_QUEUE = 32
"""Connections that wait in the kernel; it wakes those beyond in turn, so a short queue is a short wait in a flood."""

_UCRED = struct.Struct("3i")
Answer = Callable[[dict[str, Any], bool], Awaitable[dict[str, Any]]]

log = structlog.get_logger("weft.control")


class ControlServer:
    """
    Answer on ``<run_dir>/agent.sock``.

    Args:
        run_dir: Where the socket goes.
        answer: Gets a request and whether its sender may change anything; a WeftError becomes an error answer.
    """

    def __init__(self, run_dir: Path, answer: Answer) -> None:
        self._path = run_dir / SOCKET_NAME
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._callers: dict[asyncio.Task[None], int] = {}
        self._next_answer_s: dict[int, float] = {}
        self._is_closing = False

    async def start(self) -> None:
        """Listen; the run directory's lock is held, so what is found there is a leftover."""
        if self._path.is_dir():
            set_aside(self._path, "it is a directory")
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE_BYTES, backlog=_QUEUE)
        self._path.chmod(0o666)

    async def close(self) -> None:
        """Stop listening; questions under way are dropped."""
        self._is_closing = True
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        callers = tuple(self._callers)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this as a task"
        user = _user_of(writer)
        refusal = self._refuse(user)
        self._callers[task] = user
        try:
            if refusal is None:
                await self._talk(reader, writer, user)
            else:
                writer.write(_encode({"error": refusal}))
        except (OSError, ValueError, asyncio.IncompleteReadError) as exc:  # a TimeoutError is an OSError
            log.debug("control.dropped", error=str(exc) or "the caller takes too long")
        except asyncio.CancelledError:
            if not self._is_closing:  # asyncio would log what it cannot pass on
                raise
        finally:
            del self._callers[task]
            _hang_up(writer)

    def _refuse(self, user: int) -> str | None:
        """Say why *user* has no place, None where it has one."""
        callers = Counter(self._callers.values())
        if _may_change(user):
            mine = sum(number for each, number in callers.items() if _may_change(each))
            return None if mine < MAX_USERS else "cannot answer now: too many others ask"
        if callers[user] >= MAX_PER_USER:
            return f"cannot answer now: you ask {MAX_PER_USER} questions already"
        others = sum(number for each, number in callers.items() if not _may_change(each))
        return None if others < MAX_USERS else "cannot answer now: too many others ask"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: int) -> None:
        while True:
            async with asyncio.timeout(PATIENCE_S):
                line = await reader.readline()
            if not line:
                return
            await self._take_turn(user)
            writer.write(_encode(await self._reply(line, _may_change(user))))
            async with asyncio.timeout(PATIENCE_S):
                await writer.drain()

    async def _take_turn(self, user: int) -> None:
        """Wait until *user* may have an answer again; root always may."""
        if _may_change(user):
            return
        now_s = asyncio.get_running_loop().time()
        self._next_answer_s = {each: at_s for each, at_s in self._next_answer_s.items() if at_s > now_s}
        at_s = max(self._next_answer_s.get(user, now_s), now_s)
        self._next_answer_s[user] = at_s + PAUSE_S
        await asyncio.sleep(at_s - now_s)

    async def _reply(self, line: bytes, may_change: bool) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"error": "cannot understand the request: it must be a JSON object"}
        try:
            return await self._answer(request, may_change)
        except WeftError as exc:
            return {"error": str(exc), "kind": type(exc).__name__}


def _encode(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close; what a caller did not read by now, it does not want, and keeping it would fill the agent's memory."""
    if writer.transport.get_write_buffer_size():
        writer.transport.abort()
    else:
        writer.close()


def _may_change(user: int) -> bool:
    """Say whether *user* is root, or whoever the agent itself runs as."""
    return user in (0, os.geteuid())


def _user_of(writer: asyncio.StreamWriter) -> int:
    peer: socket.socket = writer.get_extra_info("socket")
    uid: int
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid
