"""Real ``rclone serve`` processes on loopback: S3, SFTP and WebDAV over a temporary directory."""

from __future__ import annotations

import re
import secrets
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from controlplane.programs import find_program
from controlplane.server_process import ServerProcess
from tests.parts.processes import hold_still

LISTENING = re.compile(r"Starting s3 server on|SFTP server listening on|WebDav Server started on")


class RcloneServer(ServerProcess):
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
        super().__init__(f"serve {protocol} for tests")
        self.protocol = protocol
        self.directory = directory / f"rclone-{protocol}"
        self.root = self.directory / "files"
        self.port = _free_port()
        self.config = config(self.port)
        self._credentials = credentials

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

    async def _bring_up(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        await self._launch(
            "rclone",
            *("serve", self.protocol, str(self.root), f"--addr={self.host}:{self.port}"),
            *("--poll-interval=0", "--dir-cache-time=0s"),
            env={
                **self._credentials,
                "HOME": str(self.directory),
                "RCLONE_CONFIG": str(self.directory / "rclone.conf"),
                "RCLONE_CACHE_DIR": str(self.directory / "cache"),
            },
        )
        await self._said(LISTENING)

    async def rotate_keys(self) -> None:
        """Restart an S3 server with another pair of keys; ``config`` holds the new ones from now on."""
        access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_hex(20)
        self._credentials = _s3_credentials(access_key, secret_key)
        self.config = {**self.config, "access_key_id": access_key, "secret_access_key": secret_key}
        await self.kill()
        await self.start()

    def suspend(self) -> None:
        """Stop it (SIGSTOP): connections are still accepted by the kernel, but nobody answers."""
        hold_still(self.pid)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)


def rclone_binary() -> str:
    """The rclone beside this Python, else the one in PATH."""
    found = find_program("rclone")
    assert found, "rclone is not installed"
    return found


def _s3_credentials(access_key: str, secret_key: str) -> dict[str, str]:
    """In quotation marks, since rclone reads this variable as a CSV list of pairs."""
    return {"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
