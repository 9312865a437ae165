"""A real nats-server for tests: own port, own store, stopped and restarted at will, never left behind."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import ClassVar

from controlplane.broker import until_greeted
from controlplane.programs import find_program
from controlplane.server_process import ServerProcess
from tests.parts.processes import hold_still

LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")
READY = re.compile(r"Server is ready$")


class Broker(ServerProcess):
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
        super().__init__("start a broker for tests")
        self.directory = directory
        self.jetstream = jetstream
        self.config = config
        self.port = -1

    @property
    def url(self) -> str:
        """Return where clients connect."""
        return f"nats://{self.host}:{self.port}"

    async def _bring_up(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        await self._launch("nats-server", "-c", str(self._write_config()))
        self.port = int((await self._said(LISTENING))[1])
        await self._said(READY)
        await until_greeted(self.host, self.port)

    async def logged(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Wait until the server has logged a line that *pattern* is found in, and return what was found."""
        return await self._said(pattern)

    def last_words(self) -> str:
        """Return everything it said lately."""
        return "\n".join(["nats-server said", *self._lines])

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
        hold_still(self.pid)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def _write_config(self) -> Path:
        store = f'jetstream {{ store_dir: "{self.directory / "store"}" }}' if self.jetstream else ""
        path = self.directory / "nats.conf"
        path.write_text(f"server_name: test\nlisten: {self.host}:{self.port}\n{store}\n{self.config}\n")
        return path


def nats_server() -> str:
    """Return the nats-server to run: the one beside this Python, or the one on the path."""
    found = find_program("nats-server")
    assert found, "nats-server is not installed"
    return found
