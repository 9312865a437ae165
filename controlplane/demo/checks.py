"""What this machine really shows, asked of the kernel: mounts, processes, and files behind mounts, bounded in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from weft.errors import WeftError

T = TypeVar("T")

FILE_S = 10.0
"""For one file; through a mount that works it takes milliseconds."""
LOOK_AGAIN_S = 0.01


class DemoFailure(WeftError):
    """Something was not as the story tells it; the text says what was seen."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the kernel's mount table."""

    mount_id: int
    mount_point: str
    fs_type: str
    source: str


@dataclass(frozen=True, slots=True)
class Process:
    """One process, for ever: a pid that is used again has another start time."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True)
class Served:
    """A mount and the client that serves it: the same pair later means that nothing was remounted."""

    mount_id: int
    client: Process


def mounts_below(directory: Path) -> list[Mount]:
    """List the mounts below *directory*, lowest first; its path holds nothing that the kernel would escape."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if fields[4].startswith(f"{directory}/"):
            fs_type, source = after.split(" ")[:2]
            found.append(Mount(int(fields[0]), fields[4], fs_type, source))
    return found


def observe(mount_point: Path) -> Served | None:
    """Return what serves *mount_point*, None while it is not mounted exactly once with exactly one client."""
    mounts = [mount for mount in mounts_below(mount_point.parent) if mount.mount_point == str(mount_point)]
    if len(mounts) != 1:
        return None
    named = f"--devname={mounts[0].source}"  # a client mounts in its cage, so its command line names no place of ours
    clients = [process for process, words in _commands() if words[1:2] == ["mount"] and named in words]
    return Served(mounts[0].mount_id, clients[0]) if len(clients) == 1 else None


def processes_of(directory: Path) -> set[Process]:
    """Find the programs that were started for something in *directory*; a person's own look at a file is none."""
    return {
        process
        for process, words in _commands()
        if process.pid != os.getpid()
        and _program_of(process.pid).startswith(("rclone", "nats-server", "python"))
        and any(f"{directory}/" in word for word in words)
    }


def descendants_of(pid: int) -> set[Process]:
    """Find what *pid* started, directly and indirectly."""
    found: set[Process] = set()
    with contextlib.suppress(OSError):  # it ended while we looked
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found |= descendants_of(int(child))
            if (process := _find_process(int(child))) is not None:
                found.add(process)
    return found


def is_alive(process: Process) -> bool:
    """Say whether *process* still runs; a zombie does not."""
    return _find_process(process.pid) == process


def end(process: Process) -> None:
    """Kill exactly this process, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(process.pid)
        try:
            if is_alive(process):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


async def read_file(path: Path) -> str:
    """
    Read *path* in a process of its own, which is abandoned should its mount not answer.

    Raises:
        DemoFailure: It cannot be read, or not in time.
    """
    return await _run_on(path, "cat", "--", str(path))


async def write_file(path: Path, text: str) -> None:
    """Write *path* as :func:`read_file` reads it; raises as that."""
    await _run_on(path, "tee", "--", str(path), text=text)


async def until(look: Callable[[], T | None], what: str, *, deadline_s: float = FILE_S) -> T:
    """
    Look again and again until *look* sees something, and return it.

    Raises:
        DemoFailure: *what* was not seen in time.
    """
    try:
        async with asyncio.timeout(deadline_s):
            while (seen := look()) is None:  # noqa: ASYNC110 - what is looked at has no event
                await asyncio.sleep(LOOK_AGAIN_S)
            return seen
    except TimeoutError as exc:
        raise DemoFailure(f"cannot see {what} within {deadline_s:g} s") from exc


async def _run_on(path: Path, *argv: str, text: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(FILE_S):
            out, err = await process.communicate(text.encode())
    except TimeoutError as exc:
        raise DemoFailure(f"cannot use {path}: no answer within {FILE_S:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise DemoFailure(f"cannot use {path}: {err.decode(errors='replace').strip()}")
    return out.decode(errors="replace")


def _commands() -> Iterator[tuple[Process, list[str]]]:
    """Yield every process with its arguments."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended while we looked
        if any(words) and (process := _find_process(int(name))) is not None:
            yield process, [word.decode(errors="surrogateescape") for word in words]


def _find_process(pid: int) -> Process | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def _program_of(pid: int) -> str:
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return ""
