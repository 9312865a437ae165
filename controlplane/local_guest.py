"""A guest on this machine: a ``weft-agent`` process with a VM id and directories of its own, ended with its mounts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from controlplane.server_process import STOP_TIMEOUT_S, ended_within
from weft.errors import BrokerUnreachableError, ProcessError
from weft.link import Link
from weft.wire.ids import VmId
from weft.wire.subjects import status_subject

START_TIMEOUT_S = 20.0
UNMOUNT_TIMEOUT_S = 30.0
"""Uploads that wait are finished first."""


class LocalGuest:
    """
    One agent process.

    Args:
        vm: Its VM id.
        url: The broker it listens to.
        directory: Where its state and sockets go; made if missing.
        arguments: Further arguments of ``weft-agent run``.
        environ: Its whole environment; that of this process unless given.
        log: File to append what it logs to; standard error unless given.
        is_quiet: Whether to drop what it logs.
    """

    def __init__(
        self,
        vm: VmId,
        url: str,
        directory: Path,
        *,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        log: Path | None = None,
        is_quiet: bool = False,
    ) -> None:
        self.vm = vm
        self._url = url
        self._state_dir = directory / "state"
        self._run_dir = directory / "run"
        self._arguments = tuple(arguments)
        self._environ = environ
        self._log = Path(os.devnull) if is_quiet else log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The agent's process id, None while it does not run."""
        return None if self._process is None else self._process.pid

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

    async def stop(self) -> int:
        """Unmount everything it has, end it, by force after a while, and return its exit code; 0 if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.returncode is None:
            unmounting = await self._spawn("unmount", "--all", "--run-dir", str(self._run_dir))
            await ended_within(unmounting, UNMOUNT_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        return await ended_within(process, STOP_TIMEOUT_S)

    async def kill(self) -> None:
        """End the agent at once, as a crash would: every mount stays, and the next start takes it over."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

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
        with contextlib.ExitStack() as stack:
            return await asyncio.create_subprocess_exec(
                *_agent_program(),
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=None if self._log is None else stack.enter_context(self._log.open("ab")),
                env=self._environ,
                start_new_session=True,
            )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _agent_program() -> tuple[str, ...]:
    """Find ``weft-agent`` of this installation; without its script the module, never one in the working directory."""
    script = Path(sys.executable).with_name("weft-agent")
    return (str(script),) if script.is_file() else (sys.executable, "-P", "-m", "agent")
