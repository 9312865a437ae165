"""The control socket: local questions to the agent, one JSON object per line, from any user; orders from root only."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from weft.errors import WeftError

SOCKET_NAME = "agent.sock"
MAX_LINE_BYTES = 64 * 1024
MAX_CALLERS = 32
"""Of users, and again of root, whom no user's idle connections may keep out; more would only cost memory."""

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
        self._callers: dict[bool, set[asyncio.Task[None]]] = {True: set(), False: set()}
        self._is_closing = False

    async def start(self) -> None:
        """Listen; the run directory's lock is held, so a socket found there is a leftover."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=MAX_LINE_BYTES)
        self._path.chmod(0o666)

    async def close(self) -> None:
        """Stop listening; questions under way are dropped."""
        self._is_closing = True
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
        callers = [*self._callers[True], *self._callers[False]]
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs this as a task"
        may_change = _is_privileged(writer)
        callers = self._callers[may_change]
        callers.add(task)
        try:
            if len(callers) <= MAX_CALLERS:
                await self._talk(reader, writer, may_change=may_change)
            else:
                writer.write(_encode({"error": "cannot answer now: too many others ask"}))
        except (OSError, ValueError, asyncio.IncompleteReadError) as exc:
            log.debug("control.dropped", error=str(exc))
        except asyncio.CancelledError:
            if not self._is_closing:  # asyncio would log what it cannot pass on
                raise
        finally:
            callers.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, may_change: bool) -> None:
        while line := await reader.readline():
            writer.write(_encode(await self._reply(line, may_change)))
            await writer.drain()

    async def _reply(self, line: bytes, may_change: bool) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return {"error": "cannot understand the request: it must be a JSON object"}
        try:
            return await self._answer(request, may_change)
        except WeftError as exc:
            return {"error": str(exc), "kind": type(exc).__name__}


def _encode(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"


def _is_privileged(writer: asyncio.StreamWriter) -> bool:
    """Say whether the caller is root, or the user that the agent itself runs as."""
    peer: socket.socket = writer.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())
