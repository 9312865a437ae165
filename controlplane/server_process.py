"""A server process of our own: found, started with a private environment, watched until it is ready, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ClassVar, Final, Self

from controlplane.programs import find_program
from weft.distribution import install_command
from weft.errors import ConfigError, ProcessError, WeftError

START_TIMEOUT_S: Final = 20.0
"""Each is ready within half a second; a broker with a large store reads it first."""
STOP_TIMEOUT_S: Final = 5.0
KEPT_LINES: Final = 200
"""More than any of them says until it is ready."""

_EXTRAS: Final = {"nats-server": "operator", "rclone": "rclone"}
_PR_SET_PDEATHSIG: Final = 1


class ServerProcess(ABC):
    """
    Base of the servers we run; ``async with`` them, or start and stop them.

    One that can be started again keeps nothing of its last run but what its subclass keeps.

    Args:
        purpose: What fails if it does not start, after "cannot".
    """

    failure: ClassVar[type[WeftError]] = ProcessError
    """What is raised when it does not start, and where it does not run."""

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._is_silent = True
        self._heard = asyncio.Condition()

    @property
    def pid(self) -> int:
        """
        The server's process id.

        Raises:
            WeftError: Of kind :attr:`failure`: it is not running.
        """
        return self._running().pid

    async def start(self) -> None:
        """
        Start the server and return when it is ready; one that runs is left alone.

        Raises:
            ConfigError: Its program is not installed.
            WeftError: Of kind :attr:`failure`: it ended or gave no answer; the last thing it said is in the text.
        """
        if self._process is not None:
            return
        try:
            await self._bring_up()
        except BaseException:
            await self.stop()
            raise

    @abstractmethod
    async def _bring_up(self) -> None:
        """Launch it and return when it is ready; what it began is ended by :meth:`start` if this fails."""

    async def stop(self) -> None:
        """End the server, by force after a while; twice is the same as once."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End the server at once, without a chance to say goodbye."""
        await self._end(signal.SIGKILL)

    async def ended(self) -> int:
        """Return the server's exit code when it has ended; 0 if it does not run."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._following is not None:
            await asyncio.wait([self._following])  # its last words are still being read
        return code

    def last_words(self) -> str:
        """Return the last thing it said: why it does not serve."""
        return self._lines[-1] if self._lines else "it gave no answer"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _launch(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, ends_with_us: bool = False
    ) -> None:
        """
        Start the program and follow its log, which it writes to standard error.

        Args:
            name: The program.
            arguments: Its arguments.
            env: Its whole environment, beside PATH: what the operator has in theirs stays out of it.
            ends_with_us: Whether it ends even when this process is killed.
        """
        program = find_program(name)
        if program is None:
            raise ConfigError([f"cannot {self._purpose}: {name} is not installed ({install_command(_EXTRAS[name])})"])
        self._lines.clear()
        self._is_silent = False
        self._process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), **(env or {})},
            start_new_session=True,
            preexec_fn=_end_with_parent() if ends_with_us else None,
        )
        assert self._process.stderr is not None, "piped"
        self._following = asyncio.create_task(self._follow(self._process.stderr), name=f"{name}-log")

    async def _said(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """
        Return where *pattern* is found in what it has said, or says next.

        Raises:
            WeftError: Of kind :attr:`failure`: it ended first, or did not say so in time.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S), self._heard:
                while True:
                    if found := next(filter(None, map(pattern.search, self._lines)), None):
                        return found
                    if self._is_silent:
                        break
                    await self._heard.wait()
        raise self.failure(f"cannot {self._purpose}: {self.last_words()}")

    def _signal(self, number: signal.Signals) -> None:
        self._running().send_signal(number)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise self.failure(f"cannot {self._purpose}: its process is not running")
        return self._process

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            # A stopped one would not hear anything but SIGKILL. Not by send_signal, which first asks whether the
            # process has ended, as it may have by now, and takes its exit code away from asyncio.
            os.kill(process.pid, signal.SIGCONT)
        await ended_within(process, STOP_TIMEOUT_S)
        if self._following is not None:
            await self._following

    async def _follow(self, log: asyncio.StreamReader) -> None:
        """Keep the last lines: they tell when it is ready, and at the end why it ended."""
        async for raw in log:
            async with self._heard:
                self._lines.append(raw.decode(errors="replace").rstrip())
                self._heard.notify_all()
        async with self._heard:
            self._is_silent = True
            self._heard.notify_all()


async def ended_within(process: asyncio.subprocess.Process, deadline_s: float) -> int:
    """Return the exit code of *process* when it has ended, by force after *deadline_s*."""
    try:
        async with asyncio.timeout(deadline_s):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def _end_with_parent() -> Callable[[], None] | None:
    """Have the kernel end the server when this process is killed: nobody else would."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
