"""Runs a program that only answers a question, within a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.drivers.programs import PATH

_VERSION_DEADLINE_S: Final = 2.0
_END_S: Final = 0.5
_OUTPUT_BYTES: Final = 64 * 1024
"""Kept of what one prints: a server decides how many names there are to list, and all of it is searched."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a short-lived program ended, and the beginning of what it printed, which may hold secrets."""

    exit_code: int
    output: str


async def run_program(
    argv: Sequence[str], *, env: Mapping[str, str], deadline_s: float, pass_fds: Sequence[int] = ()
) -> Finished | None:
    """
    Run a program that only asks; it is killed at the deadline, and not waited for long, as it may hang in the kernel.

    Returns:
        How it ended, or None when it had to be killed.

    Raises:
        OSError: it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=dict(env),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd="/",
        pass_fds=pass_fds,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_s):
            stdout, stderr = await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))
            await process.wait()
    except TimeoutError:
        await _end(process)
        return None
    except asyncio.CancelledError:
        _kill(process)
        raise
    assert process.returncode is not None, "it was waited for"
    return Finished(process.returncode, (stdout + stderr).decode(errors="replace"))


async def _read_all(stream: asyncio.StreamReader | None) -> bytes:
    """Read to the end, and return the beginning."""
    assert stream is not None, "it is a pipe"
    kept = b""
    while chunk := await stream.read(_OUTPUT_BYTES):
        kept += chunk[: _OUTPUT_BYTES - len(kept)]
    return kept


async def _end(process: Process) -> None:
    _kill(process)
    with contextlib.suppress(TimeoutError):  # it is stuck in the kernel and ends when it can
        async with asyncio.timeout(_END_S):
            await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))  # else its pipes stay open
            await process.wait()


def _kill(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it ended this moment
            process.kill()


class VersionOnce:
    """
    Asks a program for its version, once for all who want to know, and again when the file was replaced.

    Args:
        argument: What makes it print its version.
        pattern: Finds the version as its first group.
    """

    def __init__(self, argument: str, *, pattern: str) -> None:
        self._argument = argument
        self._pattern = pattern
        self._known: dict[tuple[Path, int], str] = {}
        self._asking = asyncio.Lock()

    async def find(self, program: Path | None) -> str | None:
        """Return the version; None where the program is missing, silent or says something else."""
        if program is None:
            return None
        try:
            key = (program, os.stat(program).st_mtime_ns)
            async with self._asking:
                if key not in self._known:
                    version = await self._ask(program)
                    if version is None:
                        return None
                    self._known[key] = version
                return self._known[key]
        except OSError:
            return None

    async def _ask(self, program: Path) -> str | None:
        finished = await run_program((str(program), self._argument), env={"PATH": PATH}, deadline_s=_VERSION_DEADLINE_S)
        found = re.search(self._pattern, finished.output) if finished is not None else None
        return found.group(1) if found else None
