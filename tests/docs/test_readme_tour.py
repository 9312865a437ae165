"""The README's tour works word for word."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docs.console import BACKGROUND, Typed, prints_as_said, read_console
from tests.docs.pages import ROOT

pytestmark = pytest.mark.integration
STAGE = Path(__file__).with_name("stage.py")
OWN_MACHINE = (
    *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"),
    *(sys.executable, str(STAGE)),
)
DEADLINE_S = 90.0
END = "end of command"
"""Printed after each command."""


def read_tour() -> list[Typed]:
    """Read the tour's commands."""
    return read_console(ROOT / "README.md", prompt="#", heading="A two-minute tour")


class Terminal:
    """A shell that is typed into; both of the tour's terminals are one process tree on one machine."""

    def __init__(self, process: asyncio.subprocess.Process, logs: Path) -> None:
        self._process = process
        self._log = logs / BACKGROUND

    async def type(self, typed: Typed) -> list[str]:
        """Type one command and return what it printed."""
        if not typed.is_background:
            return await self._run(f"{typed.command}\n")
        self._log.touch()
        await self._run(f"{typed.command} > {self._log} 2>&1 &\n")
        # Its last line in the README is the last one before it waits for Ctrl-C.
        return await self._run(f"tail -f -n +1 {self._log} | sed '/^{typed.prints[-1]}$/q'\n")

    async def interrupt(self) -> list[str]:
        """Press Ctrl-C in the first terminal, and return what was printed there."""
        await self._run("kill -INT $!; wait $!\n")
        return self._log.read_text().splitlines()

    async def _run(self, command: str) -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\ncode=$?; printf '{END}\\n'; (exit $code)\n".encode())
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while (line := (await self._process.stdout.readline()).decode()) != f"{END}\n":
                assert line, f"the shell ended in {command!r}: {lines}"
                lines.append(line.rstrip("\n"))
        return lines


@asynccontextmanager
async def terminal(directory: Path) -> AsyncIterator[Terminal]:
    """Open a shell on a machine of its own, in a clone that has its ``.venv``; everything ends with it."""
    (directory / ".venv").symlink_to(sys.prefix)
    environ = {"PATH": os.environ["PATH"], "HOME": str(directory), "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        *(*OWN_MACHINE, "bash", "--norc"),
        cwd=directory,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Terminal(process, directory)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_tour_prints_what_the_readme_says(tmp_path: Path) -> None:
    """Every command of it, in order, on a machine of its own; and Ctrl-C leaves nothing behind."""
    async with terminal(tmp_path) as shell:
        for typed in read_tour():
            printed = await shell.type(typed)
            if typed.is_background:
                printed = [line for line in printed if line in typed.prints]  # the guest's log is between them
            assert prints_as_said(printed, typed.prints), f"{typed.command}: {printed}"
        assert "stopping" in await shell.interrupt()
        assert await shell.type(Typed("grep -c weft:tour /proc/self/mountinfo; pgrep -l .")) == ["0", "1 bash"]


def test_the_tour_is_read_whole() -> None:
    """Both terminals, from the first command to the last."""
    commands = [typed.command for typed in read_tour()]

    assert commands[:2] == [". .venv/bin/activate", "weft up"]
    assert len([command for command in commands if command.startswith("weft publish")]) >= 4
    assert commands[-1].startswith("ls ")
