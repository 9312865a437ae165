"""The embedded broker: a nats-server process of our own, ready when it greets clients."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import ClassVar, Final

from weft.deploy import find_data_file

from controlplane.server_process import START_TIMEOUT_S, ServerProcess
from weft.errors import BrokerUnreachableError, WeftError

_LISTENING: Final = re.compile(r"Listening for client connections on \S+:(?P<port>\d+)")
_READY: Final = re.compile(r"Server is ready$")


class EmbeddedBroker(ServerProcess):
    """
    One nats-server with JetStream, for development, demonstrations and one machine.

    Args:
        store: Directory of its streams; made if missing.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        config: Configuration file; weft's own ``nats.conf`` unless given.
    """

    failure: ClassVar[type[WeftError]] = BrokerUnreachableError

    def __init__(self, store: Path, *, host: str = "127.0.0.1", port: int = 0, config: Path | None = None) -> None:
        super().__init__(f"start the broker on {host}")
        self._store = store
        self._host = host
        self._port = port
        self._config = config

    @property
    def url(self) -> str:
        """Where clients on this machine connect; known once it has started."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "[::]") else self._host
        return f"nats://{host}:{self._port}"

    async def _bring_up(self) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        config: Path = self._config or find_data_file("nats.conf")
        await self._launch(
            "nats-server",
            *("-c", str(config), "-a", self._host, "-p", str(self._port or -1), "-sd", str(self._store)),
        )
        self._port = int((await self._said(_LISTENING))["port"])
        await self._said(_READY)
        host, _, port = self.url.removeprefix("nats://").rpartition(":")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await until_greeted(host.strip("[]"), int(port))
        except (TimeoutError, OSError) as exc:
            raise self.failure(f"cannot {self._purpose}: {self.last_words()}") from exc

    def last_words(self) -> str:
        """Return the last thing it complained about, else the last thing it said."""
        complaints = [line for line in self._lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line]
        last = complaints[-1] if complaints else super().last_words()
        return re.sub(r"^\[\d+\] \S+ \S+ \[\w+\] ", "", last)


async def until_greeted(host: str, port: int) -> None:
    """
    Connect, and return when a NATS server has greeted.

    Raises:
        OSError: Nobody listens there, or something else.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if not (await reader.readline()).startswith(b"INFO "):
            raise ConnectionRefusedError("it does not greet as a NATS server")
    finally:
        writer.close()
