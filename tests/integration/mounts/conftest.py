"""Real mounts below a temporary directory: tmpfs, FUSE clients that can be killed, stopped or made to say nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.mounts.mountinfo import MountEntry
from agent.mounts.table import MountTableWatcher, read_mount_table
from agent.mounts.walker import Walker
from tests.parts.rclone_servers import rclone_binary

SILENT_CLIENT = Path(__file__).parents[2] / "fakes" / "silent_fuse_client.py"

FuseFactory = Callable[[str], Awaitable["FuseMount"]]
MountTmpfs = Callable[..., MountEntry]


@dataclass
class FuseMount:
    """A FUSE mount and its client."""

    path: Path
    client: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill the client, which leaves a dead mount."""
        self.client.kill()
        self.client.wait()

    def stop(self) -> None:
        """Stop the client, which leaves a hung mount."""
        self.client.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.client.pid, os.WSTOPPED | os.WNOWAIT)  # until then its other threads still answer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory below which tests may mount; whatever is left there is detached."""
    yield tmp_path
    while left := read_mount_table().below(str(tmp_path)):
        for entry in left:
            subprocess.run(["umount", "-l", "--no-canonicalize", entry.mount_point], check=False, capture_output=True)


@pytest.fixture
async def table() -> AsyncIterator[MountTableWatcher]:
    """A watcher of the real mount table."""
    with MountTableWatcher() as watcher:
        yield watcher


@pytest.fixture
async def walker() -> AsyncIterator[Walker]:
    """A walker with its real process."""
    async with Walker() as walker:
        yield walker


@pytest.fixture
def mount_tmpfs(place: Path) -> MountTmpfs:
    """Mount a tmpfs at a name below the place, making the directory if it is missing."""

    def mount(name: str, source: str = "weft:test:00000000", *options: str) -> MountEntry:
        path = place / name
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", *options, source, str(path)], check=True)
        top = read_mount_table().top_at(str(path))
        assert top is not None
        return top

    return mount


def start_quietly(*command: str) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, without input or output."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def start_talking(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Python *code* whose input is ours and whose first line of output says that it is ready."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def unmount_by_hand(path: str) -> None:
    """Unmount as somebody else on the machine would."""
    subprocess.run(["umount", path], check=True)


async def _up(command: list[str], path: Path, table: MountTableWatcher) -> FuseMount:
    client = start_quietly(*command)
    await table.wait_for(lambda seen: seen.top_at(str(path)), deadline_s=20)
    return FuseMount(path, client)


@pytest.fixture
def fusectl_as_before() -> Iterator[None]:
    """Leave fusectl unmounted where it was: most guests have it mounted, a container mostly not."""
    control = "/sys/fs/fuse/connections"
    was_mounted = bool(read_mount_table().at(control))
    yield
    if not was_mounted:
        subprocess.run(["umount", control], check=False, capture_output=True)


@pytest.fixture
async def fuse(place: Path, table: MountTableWatcher) -> AsyncIterator[FuseFactory]:
    """Serve a local directory at a name below the place with rclone."""
    mounts: list[FuseMount] = []

    async def serve(name: str) -> FuseMount:
        source = place / "files"
        source.mkdir(exist_ok=True)
        (source / "lesson.txt").write_text("hello")
        path = place / name
        path.mkdir(parents=True, exist_ok=True)
        options = ["--config", os.devnull, "--devname", f"weft:{path.name}:00000000"]
        mounts.append(await _up([rclone_binary(), "mount", str(source), str(path), *options], path, table))
        return mounts[-1]

    yield serve
    for mount in mounts:
        mount.kill()


@pytest.fixture
async def silent(place: Path, table: MountTableWatcher) -> AsyncIterator[FuseMount]:
    """A mount whose client takes each ``statvfs`` and answers none: whoever asks cannot even be killed."""
    path = place / "silent"
    path.mkdir()
    mount = await _up([sys.executable, str(SILENT_CLIENT), str(path)], path, table)
    yield mount
    mount.kill()
