"""Processes that a row starts: modules of this package that answer line by line, and are ended with their row."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ANSWER_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
ROOT = Path(__file__).parent.parent


class Child:
    """One running process, told and heard through lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def hear(self) -> str:
        """
        Return its next line.

        Raises:
            RuntimeError: It ended instead.
            TimeoutError: It said nothing.
        """
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"cannot hear from process {self.pid}: it ended")
        return line.decode().rstrip()


@asynccontextmanager
async def running_child(module: str, *arguments: str) -> AsyncIterator[Child]:
    """
    Run a module of ``bench.children``; it ends when its standard input does.

    Args:
        module: Its name there.
        arguments: For it.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"bench.children.{module}", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
