"""A real nats-server for tests: own port, own store, stopped and restarted at will, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import sys
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")
READY = re.compile(r"Server is ready$")


class Broker:
    """
    One nats-server process.

    The port is chosen by the server at the first start and kept from then on, as is the store, so
    that a restart is seen by clients as the same broker.

    Args:
        directory: Where configuration and store go.
        jetstream: Whether it has JetStream.
        config: More configuration text, such as ``authorization { … }`` or ``tls { … }``.
    """

    host: ClassVar[str] = "127.0.0.1"
    """The address it listens on."""

    def __init__(self, directory: Path, *, jetstream: bool = True, config: str = "") -> None:
        self.directory = directory
        self.jetstream = jetstream
        self.config = config
        self.port = -1
        self.lines: deque[str] = deque(maxlen=200)
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._grown = asyncio.Condition()
        self._has_ended = False

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id; the broker must be running."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it greets a client; a server that refuses its configuration fails here."""
        assert self._process is None, "the broker is already running"
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self._write_config()
        self.lines.clear()
        self._has_ended = False
        self._process = await asyncio.create_subprocess_exec(
            nats_server(), "-c", str(path), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read_log(), name="broker-log")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.port = int((await self.logged(LISTENING))[1])
                await self.logged(READY)
                await self._greeted()
        except BaseException:
            await self.kill()
            raise

    async def logged(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait until the server has logged a line that *pattern* is found in, and return what was found."""
        async with asyncio.timeout(START_TIMEOUT_S), self._grown:
            while True:
                if found := next(filter(None, map(pattern.search, self.lines)), None):
                    return found
                assert not self._has_ended, "\n".join(["nats-server ended", *self.lines])
                await self._grown.wait()

    async def stop(self) -> None:
        """Shut the server down in an orderly way; a stopped one stays stopped."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End the server without giving it a chance to say goodbye."""
        await self._end(signal.SIGKILL)

    async def restart(self, *, config: str | None = None, jetstream: bool | None = None) -> None:
        """Stop the server and start it again on the same port and store, with other settings where given."""
        await self.stop()
        self.config = self.config if config is None else config
        self.jetstream = self.jetstream if jetstream is None else jetstream
        await self.start()

    def reload(self, config: str) -> None:
        """Give the running server another extra configuration."""
        self.config = config
        self._write_config()
        self._signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Stop the server's clock: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the broker is not running"
        self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def _read_log(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            async with self._grown:
                self.lines.append(raw.decode(errors="replace").rstrip())
                self._grown.notify_all()
        async with self._grown:
            self._has_ended = True
            self._grown.notify_all()

    async def _greeted(self) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            greeting = await reader.readline()
            assert greeting.startswith(b"INFO "), greeting
        finally:
            writer.close()
            await writer.wait_closed()

    def _write_config(self) -> Path:
        store = f'jetstream {{ store_dir: "{self.directory / "store"}" }}' if self.jetstream else ""
        path = self.directory / "nats.conf"
        path.write_text(f"server_name: test\nlisten: {self.host}:{self.port}\n{store}\n{self.config}\n")
        return path


def nats_server() -> str:
    """Return the nats-server to run: the one beside this Python, or the one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed"
    return found
