"""The real rclone servers that other tests use can be reached with the configuration they hand out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parts.rclone_servers import RcloneServer, rclone_binary

pytestmark = pytest.mark.integration

SERVERS = [RcloneServer.s3, RcloneServer.sftp, RcloneServer.webdav]
Make = Callable[[Path], RcloneServer]


async def rclone(directory: Path, *arguments: str) -> str:
    """Run rclone without any configuration of the machine's and return its output."""
    process = await asyncio.create_subprocess_exec(
        rclone_binary(),
        *arguments,
        "--retries=1",
        "--low-level-retries=1",
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "RCLONE_CONFIG": str(directory / "remote.conf")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def listing(directory: Path, server: RcloneServer) -> str:
    options = [f"{key}={value}" for key, value in server.config.items() if key != "type"]
    await rclone(directory, "config", "create", "r", server.config["type"], *options, "--obscure", "--non-interactive")
    return await rclone(directory, "lsf", "r:box")


@pytest.mark.parametrize("make", SERVERS)
async def test_configuration_reaches_the_files(tmp_path: Path, make: Make) -> None:
    """What lies in the root is listed through the remote."""
    async with make(tmp_path) as server:
        (server.root / "box").mkdir()
        (server.root / "box/hello").write_text("hi")
        assert await listing(tmp_path, server) == "hello\n"


async def test_restarted_server_keeps_its_port(tmp_path: Path) -> None:
    """After kill and start the same configuration works."""
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "box").mkdir()
        (server.root / "box/hello").write_text("hi")
        await server.kill()
        await server.start()
        assert await listing(tmp_path, server) == "hello\n"


async def test_suspended_server_accepts_and_does_not_answer(tmp_path: Path) -> None:
    """A suspended server holds its callers until it is resumed."""
    async with RcloneServer.webdav(tmp_path) as server:
        (server.root / "box").mkdir()
        server.suspend()
        answer = asyncio.create_task(listing(tmp_path, server))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(answer), 0.5)
        server.resume()
        assert await answer == ""


async def test_leaving_a_suspended_server_ends_it(tmp_path: Path) -> None:
    """The process is gone after the block, also when it was suspended."""
    async with RcloneServer.s3(tmp_path) as server:
        pid = server.pid
        server.suspend()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
