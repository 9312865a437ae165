"""The same clients without an engine: what starting and mounting costs by itself."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.mounts.table import MountTableWatcher, read_mount_table
from bench.engine import client_argv, note_of

DEADLINE_S = 20.0
POLL_S = 0.2
"""How often the Go agent looks."""


@contextmanager
def bare_clients(client: str, mount_points: Sequence[Path]) -> Iterator[float]:
    """
    Start clients, and take them away at the end; yields the monotonic time of the start.

    Args:
        client: Which.
        mount_points: Existing directories, one for each.
    """
    processes: list[subprocess.Popen[bytes]] = []
    started_s = time.monotonic()
    try:
        for path in mount_points:
            argv = client_argv(client, str(path), f"bench:{path.name}", note_of(path))
            processes.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True))
        yield started_s
    finally:
        table = read_mount_table()
        for path, process in zip(mount_points, processes, strict=False):
            if table.top_at(str(path)) is not None:
                subprocess.run(["umount", str(path)], check=True)
            process.terminate()
            process.wait()


async def wait_mounted(table: MountTableWatcher, mount_points: Sequence[Path]) -> float:
    """Return the monotonic time at which all of them show."""
    paths = [str(path) for path in mount_points]
    await table.wait_for(
        lambda current: all(current.top_at(path) is not None for path in paths) or None, deadline_s=DEADLINE_S
    )
    return time.monotonic()


async def poll_mounted(mount_point: Path) -> float:
    """Return the monotonic time at which somebody who polls sees it."""
    async with asyncio.timeout(DEADLINE_S):
        while read_mount_table().top_at(str(mount_point)) is None:  # noqa: ASYNC110  # the habit that is measured
            await asyncio.sleep(POLL_S)
    return time.monotonic()
