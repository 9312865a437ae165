"""What systemd-nspawn says about its guest over the notify socket: the leader's pid, and that it has booted."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

LEADER = "X_NSPAWN_LEADER_PID"


class Readiness(asyncio.DatagramProtocol):
    """
    The receiving end of one boot's notify socket.

    Args:
        path: Where the socket is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._transport: asyncio.BaseTransport | None = None
        loop = asyncio.get_running_loop()
        self.leader: asyncio.Future[int] = loop.create_future()
        self.booted: asyncio.Future[None] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Note what one message says."""
        for line in data.decode().splitlines():
            key, _, value = line.partition("=")
            if key == LEADER and not self.leader.done():
                self.leader.set_result(int(value))
            if line == "READY=1" and not self.booted.done():
                self.booted.set_result(None)

    async def __aenter__(self) -> Self:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.path.unlink(missing_ok=True)
        end.bind(str(self.path))
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=end)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._transport is not None
        self._transport.close()
        self.leader.cancel()
        self.booted.cancel()
        self.path.unlink(missing_ok=True)
