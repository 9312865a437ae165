"""The rule that a test leaves no mount and no process behind: checked after each integration test, and cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

MOUNTINFO = Path("/proc/self/mountinfo")
OUR_SOURCE = "weft:"
ROUNDS = 50
UMOUNT_S = 10.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """
    What a test left behind.

    Args:
        mount_points: Mounts, parents first, one entry per stacked layer.
        processes: Processes as pid and command line.
    """

    mount_points: tuple[str, ...]
    processes: tuple[tuple[int, str], ...]

    def __bool__(self) -> bool:
        return bool(self.mount_points or self.processes)

    def __str__(self) -> str:
        lines = [f"mount {path}" for path in self.mount_points]
        lines += [f"process {pid}: {command}" for pid, command in self.processes]
        return "\n".join(lines)


def find_leftovers(directory: Path) -> Leftovers:
    """
    Find the mounts and processes that belong to a test with this temporary *directory*.

    Mounts below it are its own; so is any mount of ours outside the system's temporary directory, where other test
    runs keep theirs. A process belongs to it when its command line names the directory. Zombies do not count.
    """
    return Leftovers(tuple(_mount_points(str(directory))), tuple(_processes(str(directory))))


def remove_leftovers(directory: Path) -> None:
    """Kill the processes, which frees everybody who waits for their mounts, then detach the mounts."""
    for pid, _ in find_leftovers(directory).processes:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself meanwhile
    for _ in range(ROUNDS):
        mount_points = find_leftovers(directory).mount_points
        if not mount_points:
            return
        subprocess.run(
            ["umount", "-l", "--no-canonicalize", mount_points[0]], timeout=UMOUNT_S, capture_output=True, check=False
        )


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an integration test that leaves a mount or a process behind, after cleaning up."""
    if request.node.get_closest_marker("integration") is None:
        yield
        return
    directory: Path = request.getfixturevalue("tmp_path")
    yield
    leftovers = find_leftovers(directory)
    if leftovers:
        remove_leftovers(directory)
        pytest.fail(f"the test left behind:\n{leftovers}")


def _mount_points(directory: str) -> Iterator[str]:
    for line in MOUNTINFO.read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        path, source = _unescape(before.split(" ")[4]), _unescape(after.split(" ")[1])
        is_below = path == directory or path.startswith(f"{directory}/")
        is_elsewhere = not path.startswith(f"{tempfile.gettempdir()}/")
        if is_below or (source.startswith(OUR_SOURCE) and is_elsewhere):
            yield path


def _unescape(field: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, character)
    return field


def _processes(directory: str) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        words = [word.decode(errors="replace") for word in command.split(b"\0") if word]
        if any(directory in word for word in words):
            yield int(entry.name), " ".join(words)
