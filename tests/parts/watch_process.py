"""A real ``weft sync --watch`` process, with the service manager's socket, ended or killed at will."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

START_S = 20.0
LINE_S = 30.0
STOP_S = 10.0


class WatchProcess:
    """
    One watch.

    Args:
        url: The broker.
        arguments: Further arguments of ``weft sync --watch``.
    """

    def __init__(self, url: str, *arguments: str) -> None:
        self._url = url
        self._arguments = arguments
        self._directory = tempfile.TemporaryDirectory(prefix="weft-watch-")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._process: asyncio.subprocess.Process | None = None
        self.notified: list[str] = []

    async def until_line(self, text: str) -> str:
        """Read its output until a line holds *text*, and return the line."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(LINE_S):
            while line := (await self._process.stdout.readline()).decode():
                if text in line:
                    return line
        raise AssertionError(f"it ended without saying {text!r}")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code. A stopped watch stays stopped."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(STOP_S):
            await process.communicate()
        self._hear()
        return process.returncode or 0

    async def __aenter__(self) -> Self:
        address = Path(self._directory.name) / "notify.sock"
        self._socket.bind(str(address))
        self._socket.setblocking(False)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controlplane.cli", "sync", "--watch", *self._arguments),
            env={"PATH": os.environ["PATH"], "HOME": self._directory.name, "LOGNAME": "watch"}
            | {"NATS_URL": self._url, "NOTIFY_SOCKET": str(address)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(START_S):
            while "READY=1" not in self.notified:
                self.notified += (await asyncio.get_running_loop().sock_recv(self._socket, 4096)).decode().split("\n")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(signal.SIGKILL)
        self._socket.close()
        self._directory.cleanup()

    def _hear(self) -> None:
        while True:
            try:
                self.notified += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return
