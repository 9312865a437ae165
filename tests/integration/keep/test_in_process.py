"""Shares inside Python programs: there in the block, gone after it, and cleaned up after whoever was killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from agent import mounted, mounted_sync
from agent.mounts.table import read_mount_table
from tests.parts.processes import wait_for_file, wait_until_ended
from tests.parts.rclone_servers import RcloneServer
from weft.errors import ConfigError, ErrorCode, MountError

pytestmark = pytest.mark.integration

PROGRAM = """
import pathlib, sys, time
from agent import mounted_sync
local = frozenset({"local"})
spec = {"id": "data", "backend": "rclone", "mount_point": sys.argv[2], "rclone": {"type": "local", "path": sys.argv[3]}}
where = pathlib.Path(sys.argv[1])
with mounted_sync(spec, state_dir=where / "state", run_dir=where / "run", allow_types=local) as path:
    (where / "ready").write_text((path / "hello").read_text())
    time.sleep(3600)
"""


def spec(directory: Path, share_id: str = "data", **fields: Any) -> dict[str, Any]:
    source = directory / "source"
    source.mkdir(exist_ok=True)
    (source / "hello").write_text("tide")
    block = {"type": "local", "path": str(source)}
    mount_point = str(directory / "mounts" / share_id)
    return {"id": share_id, "backend": "rclone", "mount_point": mount_point, "rclone": block, **fields}


def where(directory: Path) -> dict[str, Any]:
    return {"state_dir": directory / "state", "run_dir": directory / "run", "allow_types": frozenset({"local"})}


def mounts_in(directory: Path) -> list[str]:
    return [entry.mount_point for entry in read_mount_table().below(str(directory))]


async def test_a_share_is_there_in_the_block_and_gone_after_it(directory: Path) -> None:
    """With the directories that were made for it."""
    async with mounted(spec(directory), **where(directory)) as path:
        assert await asyncio.to_thread((path / "hello").read_text) == "tide"
        await asyncio.to_thread((path / "new").write_text, "ebb")
    assert mounts_in(directory) == []
    assert (directory / "source" / "new").read_text() == "ebb"
    assert not path.exists()


def test_programs_without_an_event_loop_have_it_too(directory: Path) -> None:
    """An exception in the block is the program's own, and the share goes nevertheless."""
    with mounted_sync(spec(directory), **where(directory)) as path:
        assert (path / "hello").read_text() == "tide"
    with pytest.raises(FileNotFoundError), mounted_sync(spec(directory), **where(directory)) as path:
        (path / "nowhere").read_text()
    assert mounts_in(directory) == []


def test_a_share_that_cannot_be_mounted_is_an_error_with_its_reason(directory: Path) -> None:
    """And nothing is left."""
    wrong = spec(directory, rclone={"type": "local", "path": str(directory / "nowhere")})
    with pytest.raises(MountError) as caught, mounted_sync(wrong, **where(directory)):
        raise AssertionError("it must not come up")
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert mounts_in(directory) == []


async def test_a_client_that_dies_in_the_block_is_replaced(directory: Path) -> None:
    """The block does not notice, but for a moment."""
    async with mounted(spec(directory), **where(directory)) as path:
        (pid,) = clients_of(directory)
        os.kill(pid, signal.SIGKILL)
        await wait_until_ended(pid)
        await wait_until_readable(path / "hello")
        assert clients_of(directory) != [pid]
    assert mounts_in(directory) == []


async def wait_until_readable(path: Path) -> None:
    async with asyncio.timeout(10):
        is_readable = False
        while not is_readable:
            is_readable = await asyncio.to_thread(_is_readable, path)


def _is_readable(path: Path) -> bool:
    try:
        return path.read_text() == "tide"
    except OSError:
        return False


def clients_of(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "\0mount\0" in command and str(directory) in command:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("share_id", ["data", "other"], ids=["of the same share", "of another share"])
async def test_the_next_program_cleans_up_after_a_killed_one(directory: Path, share_id: str) -> None:
    """Its mount and its client, whatever share the next one wants."""
    first = spec(directory)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(directory), first["mount_point"], first["rclone"]["path"]),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()},
    )
    try:
        assert await wait_for_file(directory / "ready") == "tide"
        with pytest.raises(ConfigError, match=str(program.pid)):
            async with mounted(first, **where(directory)):
                raise AssertionError("a living program's share is its own")
    finally:
        program.kill()
        await program.wait()
    (orphan,) = clients_of(directory)
    assert mounts_in(directory) == [first["mount_point"]]
    async with mounted(spec(directory, share_id), **where(directory)) as path:
        assert await asyncio.to_thread((path / "hello").read_text) == "tide"
        assert mounts_in(directory) == [str(path)]
    assert mounts_in(directory) == []
    await wait_until_ended(orphan)


async def test_what_was_written_is_stored_before_the_block_is_left(directory: Path, tmp_path: Path) -> None:
    """However long the client meant to wait with it."""
    async with RcloneServer.sftp(tmp_path) as server:
        block = {"type": "sftp", "path": "", "config": server.config, "options": {"vfs-write-back": "60s"}}
        async with mounted(spec(directory, rclone=block), **where(directory)) as path:
            await asyncio.to_thread((path / "new").write_text, "ebb")
        assert (server.root / "new").read_text() == "ebb"
