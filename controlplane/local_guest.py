"""A guest on this machine: a ``weft-agent`` process with a VM id and directories of its own, ended with its mounts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from weft.errors import BrokerUnreachableError, ProcessError
from weft.link import Link
from weft.wire.ids import VmId
from weft.wire.subjects import status_subject

START_TIMEOUT_S = 20.0
UNMOUNT_TIMEOUT_S = 30.0
"""Uploads that wait are finished first."""
STOP_TIMEOUT_S = 5.0


class LocalGuest:
    """
    One agent process.

    Args:
        vm: Its VM id.
        url: The broker it listens to.
        directory: Where its state and sockets go; made if missing.
        arguments: Further arguments of ``weft-agent run``.
        is_quiet: Whether to drop what it logs.
    """

    def __init__(
        self, vm: VmId, url: str, directory: Path, *, arguments: Sequence[str] = (), is_quiet: bool = False
    ) -> None:
        self.vm = vm
        self._url = url
        self._state_dir = directory / "state"
        self._run_dir = directory / "run"
        self._arguments = tuple(arguments)
        self._output = asyncio.subprocess.DEVNULL if is_quiet else None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, link: Link) -> None:
        """
        Start the agent and return when it has reported for the first time.

        Raises:
            ProcessError: it ended, or did not report in time.
        """
        reported = asyncio.Event()

        async def note(message: object) -> None:
            reported.set()

        subscription = await link.subscribe(status_subject(self.vm), note)
        await link.flush()
        self._state_dir.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._process = await self._spawn(
                "run",
                *("--vm", self.vm, "--nats", self._url, "--state-dir", str(self._state_dir)),
                *("--run-dir", str(self._run_dir), *self._arguments),
            )
            await self._until_reported(reported)
        except BaseException:
            await self.stop()
            raise
        finally:
            with contextlib.suppress(BrokerUnreachableError):
                await subscription.unsubscribe()

    async def stop(self) -> None:
        """Unmount everything it has, end it, by force after a while; twice is the same as once."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            unmounting = await self._spawn("unmount", "--all", "--run-dir", str(self._run_dir))
            await _ended(unmounting, UNMOUNT_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await _ended(process, STOP_TIMEOUT_S)

    async def ended(self) -> int:
        """Return the agent's exit code when it has ended."""
        return await self._process.wait() if self._process is not None else 0

    async def _until_reported(self, reported: asyncio.Event) -> None:
        waiting = [asyncio.create_task(reported.wait()), asyncio.create_task(self.ended())]
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as exc:
            raise ProcessError(f"cannot start guest {self.vm}: it did not report within {START_TIMEOUT_S:g} s") from exc
        finally:
            for task in waiting:
                task.cancel()
        if not reported.is_set():
            code = self._process.returncode if self._process is not None else None
            raise ProcessError(f"cannot start guest {self.vm}: its agent ended with exit code {code}")

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "agent", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=self._output,
            start_new_session=True,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def _ended(process: asyncio.subprocess.Process, deadline_s: float) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
