"""Starts a MountCommand as the engine would, with nothing else around it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.drivers.base import Driver, Failure, MountCommand, MountContext
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, share_secrets

SOURCE = "weft:data:0badcafe"
END_S = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """A client that was started, and what came of it."""

    context: MountContext
    command: MountCommand
    process: subprocess.Popen[bytes]
    is_mounted: bool

    @property
    def mount_point(self) -> Path:
        return Path(self.context.share.mount_point)

    def failure(self, root_errno: int | None = None) -> Failure:
        """What a driver is told about it, redacted as the engine does."""
        private = self.context.private_dir
        texts = [
            (private / name).read_text() for name in ("output", *self.command.log_files) if (private / name).exists()
        ]
        secrets = share_secrets(self.context.share) | self.command.secrets
        return Failure(self.process.poll(), redact_text("\n".join(texts), secrets), root_errno)


def context_in(directory: Path, share: ShareMount, programs: dict[str, Path]) -> MountContext:
    """Directories for one mount below *directory*."""
    return MountContext(
        share=share,
        source=SOURCE,
        private_dir=directory / "private",
        cache_dir=directory / "cache",
        programs={name: Path(f"/usr/bin/{name}") for name in ("fusermount3", "mount")} | programs,
    )


@contextlib.asynccontextmanager
async def running(driver: Driver, context: MountContext, *, deadline_s: float = 20.0) -> AsyncIterator[Running]:
    """Start the client, wait until it is mounted or has ended, and take everything away afterwards."""
    command = driver.build(context)
    _prepare(context, command)
    process, status = _start(context, command)
    try:
        is_mounted = await asyncio.to_thread(_wait_until_mounted, context.share.mount_point, process.pid, deadline_s)
        yield Running(context, command, process, is_mounted)
    finally:
        os.close(status)
        await asyncio.to_thread(_stop, context.share.mount_point, process)


def mount_line(mount_point: str) -> str | None:
    """The line of the mount table for *mount_point*."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next((line for line in lines if line.split(" ")[4] == mount_point), None)


def _prepare(context: MountContext, command: MountCommand) -> None:
    Path(context.share.mount_point).mkdir(exist_ok=True)
    context.private_dir.mkdir(mode=0o700)
    for directory in command.directories:
        (context.private_dir / directory).mkdir(mode=0o700, exist_ok=True)
    for link, target in command.links.items():
        (context.private_dir / link).symlink_to(target)
    for file in command.files:
        path = context.private_dir / file.name
        path.touch(mode=0o600)
        path.write_bytes(file.content)


def _start(context: MountContext, command: MountCommand) -> tuple[subprocess.Popen[bytes], int]:
    reading, writing = os.pipe()
    env = dict(command.env)
    passed: Sequence[int] = ()
    if command.status_fd_variable is not None:
        env[command.status_fd_variable] = str(writing)
        passed = (writing,)
    with (context.private_dir / "output").open("wb") as output:
        process = subprocess.Popen(
            command.argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            pass_fds=passed,
            start_new_session=True,
        )
    os.close(writing)
    return process, reading


def _wait_until_mounted(mount_point: str, pid: int, deadline_s: float) -> bool:
    """Watch the mount table and the process; the kernel wakes us for either."""
    end_s = time.monotonic() + deadline_s
    with open("/proc/self/mountinfo", "rb") as table:
        ended = os.pidfd_open(pid)
        try:
            poller = select.poll()
            poller.register(table, select.POLLPRI | select.POLLERR)
            poller.register(ended, select.POLLIN)
            while (left_s := end_s - time.monotonic()) > 0:
                if mount_line(mount_point) is not None:
                    return True
                if any(fd == ended for fd, _ in poller.poll(left_s * 1000)):
                    return False
            return False
        finally:
            os.close(ended)


def _stop(mount_point: str, process: subprocess.Popen[bytes]) -> None:
    if mount_line(mount_point) is not None:
        subprocess.run(["umount", "-l", mount_point], check=True, timeout=END_S)
    elif process.poll() is None:
        process.kill()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S)
