"""A real ``weft-agent`` process: own directories, own VM id, asked through its socket, killed at will."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.control import SOCKET_NAME
from tests.parts.views import PYTHON

START_S = 15.0
STOP_S = 10.0


class AgentProcess:
    """
    One agent.

    Args:
        directory: Where its state, run and mount directories go; short enough for UNIX sockets.
        url: The broker.
        vm: Its VM id.
        arguments: Further arguments of ``weft-agent run``.
        packages: Where packages are that only this guest has.
        environ: Further variables of its environment.
    """

    def __init__(
        self,
        directory: Path,
        url: str,
        *,
        vm: str = "vm-7",
        arguments: tuple[str, ...] = (),
        packages: tuple[Path, ...] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.python_path = os.pathsep.join([os.getcwd(), *map(str, packages)])
        self.directory = directory
        self.url = url
        self.vm = vm
        self.arguments = arguments
        self.environ = dict(environ or {})
        self.run_dir = directory / "run"
        self.state_dir = directory / "state"
        self.mounts = directory / "mnt"
        self.sources = directory / "src"
        self.log_path = directory / f"{vm}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._notified: list[str] = []

    @property
    def pid(self) -> int:
        """Return its process id; it must be running."""
        assert self._process is not None, "the agent is not running"
        return self._process.pid

    @property
    def notified(self) -> list[str]:
        """Return what it told the service manager, in order."""
        return self._notified

    def source(self, name: str) -> Path:
        """Make a directory that a bind share can show, with one file in it."""
        path = self.sources / name
        path.mkdir(parents=True, exist_ok=True)
        (path / "hello.txt").write_text(name)
        return path

    async def start(self) -> None:
        """Start it and wait until it says READY."""
        for path in (self.run_dir, self.state_dir, self.mounts, self.sources):
            path.mkdir(parents=True, exist_ok=True)
        address = self.directory / "notify.sock"
        address.unlink(missing_ok=True)
        self._notified.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, self.log_path.open("ab") as log:
            sock.bind(str(address))
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent", "run", "--vm", self.vm, "--nats", self.url),
                *("--run-dir", str(self.run_dir), "--state-dir", str(self.state_dir)),
                *("--allow", str(self.mounts), "--allow-source", str(self.sources), *self.arguments),
                env={
                    "PATH": os.environ["PATH"],
                    "NOTIFY_SOCKET": str(address),
                    "PYTHONPATH": self.python_path,
                    "WEFT_CLIENT_PATHS": ":".join(PYTHON),
                    "WEFT_ALLOW_TYPE": "local",  # the FUSE client that needs no server
                    **self.environ,
                },
                stdin=asyncio.subprocess.DEVNULL,
                stderr=log,
            )
            sock.setblocking(False)
            async with asyncio.timeout(START_S):
                while "READY=1" not in self._notified:
                    hearing = asyncio.create_task(asyncio.get_running_loop().sock_recv(sock, 4096))
                    ended = asyncio.create_task(self._process.wait())
                    await asyncio.wait([hearing, ended], return_when=asyncio.FIRST_COMPLETED)
                    ended.cancel()
                    if not hearing.done():
                        hearing.cancel()
                        await asyncio.wait([hearing])
                        raise AssertionError(self.log_path.read_text())
                    self._notified += hearing.result().decode().split("\n")

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code. A stopped agent stays stopped."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(STOP_S):
            return await process.wait()

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Ask through the control socket; an error answer comes back like any other."""
        reader, writer = await asyncio.open_unix_connection(self.run_dir / SOCKET_NAME)
        try:
            writer.write(json.dumps({"do": do, **request}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()

    async def status(self) -> dict[str, Any]:
        """Return its status."""
        answer: dict[str, Any] = (await self.ask("status"))["status"]
        return answer

    async def states(self) -> dict[str, str]:
        """Return the state of each share, by id."""
        return {share["id"]: share["state"] for share in (await self.status())["shares"]}

    async def until(self, is_reached: Callable[[dict[str, Any]], bool], *, deadline_s: float = 15.0) -> dict[str, Any]:
        """Ask for the status until *is_reached* holds for it, and return it."""
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(deadline_s):
                while not is_reached(status := await self.status()):  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{json.dumps(status, indent=1)}\n{self.log_path.read_text()}") from None
        return status

    async def until_states(self, **states: str) -> dict[str, Any]:
        """Wait until the shares are exactly in these states."""
        return await self.until(lambda status: {s["id"]: s["state"] for s in status["shares"]} == states)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(signal.SIGKILL)
