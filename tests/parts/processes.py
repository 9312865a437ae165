"""Waiting for what other processes do, without sleeping: their end, and the files they leave."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

WAIT_S = 20.0


async def wait_until_ended(pid: int, *, deadline_s: float = WAIT_S) -> None:
    """Return when the process *pid*, which need not be a child, has ended (a zombie has)."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(deadline_s):
            await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def hold_still(pid: int) -> None:
    """Stop the child *pid* (SIGSTOP), and return when all its threads stand still: until then some may still answer."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


async def wait_for_file(path: Path, *, deadline_s: float = WAIT_S) -> str:
    """Return the text of *path* as soon as it has any."""
    async with asyncio.timeout(deadline_s):
        while True:
            if text := _text_of(path):
                return text
            await asyncio.sleep(0)  # one turn of the loop: the writer is another process


def listening_ports(pid: int) -> list[tuple[str, int]]:
    """The TCP listeners of a process: address in the kernel's hexadecimal, port."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            inodes.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    found = [row[1].split(":") for row in rows if row[3] == "0A" and row[9] in inodes]
    return [(address, int(port, 16)) for address, port in found]


def _text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""
