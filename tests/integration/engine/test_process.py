"""Client processes: started, watched, signalled and taken over, children or not."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.actual import ProcessIdentity
from agent.mounts.walker import Walker
from agent.supervise.identity import find_by_output, identify_process, read_boot_id
from agent.supervise.process import ClientProcess, attach_client, start_client
from tests.parts.cages import make_cage
from tests.parts.processes import wait_for_file
from weft.errors import CommandNotFoundError

pytestmark = pytest.mark.integration

BOOT = read_boot_id()


@pytest.fixture
async def walker() -> AsyncIterator[Walker]:
    """What starts clients."""
    async with Walker() as started:
        yield started


async def start(walker: Walker, tmp_path: Path, script: str, **fields: str) -> ClientProcess:
    """Start a shell script whose output names the test."""
    return await run(walker, tmp_path, ("/bin/sh", "-c", script, str(tmp_path)), **fields)


async def run(walker: Walker, tmp_path: Path, argv: tuple[str, ...], **fields: str) -> ClientProcess:
    return await start_client(
        argv,
        env={"PATH": "/bin"},
        log=tmp_path / "out",
        cage=make_cage(tmp_path),
        walker=walker,
        boot_id=BOOT,
        **fields,
    )


def start_grandchild(tmp_path: Path) -> None:
    """Start a process whose parent ends at once; its pid is in the file ``pid``."""
    subprocess.run(["/bin/sh", "-c", "sleep 60 & echo $! > pid", str(tmp_path)], cwd=tmp_path, check=True)


async def test_the_exit_code_of_a_child_is_known(walker: Walker, tmp_path: Path) -> None:
    """A child that ends is reaped, and its exit code kept."""
    process = await start(walker, tmp_path, "echo bye; exit 7")
    assert await process.wait(deadline_s=10)
    assert (process.exit_code, (tmp_path / "out").read_text()) == (7, "bye\n")
    process.close()


async def test_a_signal_is_a_negative_exit_code(walker: Walker, tmp_path: Path) -> None:
    """Who was killed says by what."""
    process = await start(walker, tmp_path, "exec sleep 60")
    process.signal(signal.SIGKILL)
    assert await process.wait(deadline_s=10)
    assert process.exit_code == -signal.SIGKILL
    process.signal(signal.SIGKILL)  # whoever has the pid by now is not meant
    process.close()


async def test_a_wait_has_an_end(walker: Walker, tmp_path: Path) -> None:
    """Waiting for a process that stays says so at the deadline."""
    process = await start(walker, tmp_path, "exec sleep 60")
    assert not await process.wait(deadline_s=0.05)
    process.signal(signal.SIGKILL)
    await process.wait(deadline_s=10)
    process.close()


async def test_a_process_that_is_no_child_is_watched(tmp_path: Path) -> None:
    """The exit of a client that an earlier agent started is seen, though not its exit code."""
    start_grandchild(tmp_path)
    pid = int(await wait_for_file(tmp_path / "pid"))
    identity = identify_process(pid, boot_id=BOOT)
    assert identity is not None
    process = attach_client(identity, boot_id=BOOT)
    assert process is not None
    process.signal(signal.SIGTERM)
    assert await process.wait(deadline_s=10)
    assert process.exit_code is None
    process.close()


async def test_nobody_is_taken_over_who_only_has_the_pid(walker: Walker, tmp_path: Path) -> None:
    """Start time and boot must be the same."""
    process = await start(walker, tmp_path, "exec sleep 60")
    known = process.identity
    for other in (
        ProcessIdentity(pid=known.pid, start_ticks=known.start_ticks - 1, boot_id=BOOT),
        ProcessIdentity(pid=known.pid, start_ticks=known.start_ticks, boot_id="another"),
        ProcessIdentity(pid=2**22 + 1, start_ticks=1, boot_id=BOOT),
    ):
        assert attach_client(other, boot_id=BOOT) is None
    process.signal(signal.SIGKILL)
    await process.wait(deadline_s=10)
    process.close()


async def test_closing_leaves_the_process(walker: Walker, tmp_path: Path) -> None:
    """A client outlives who watches it, and can be taken over and found by its output."""
    process = await start(walker, tmp_path, "exec sleep 60")
    identity = process.identity
    process.close()
    assert find_by_output(tmp_path / "out") == (identity.pid,)
    again = attach_client(identity, boot_id=BOOT)
    assert again is not None
    again.signal(signal.SIGKILL)
    assert await again.wait(deadline_s=10)
    again.close()


async def test_the_status_pipe_is_heard(walker: Walker, tmp_path: Path) -> None:
    """A client that was given a pipe can say something through it."""
    process = await start(walker, tmp_path, "echo no > /proc/self/fd/$FD", status_fd_variable="FD")
    heard = asyncio.Event()
    assert process.status_pipe is not None
    process.status_pipe.on_message(heard.set)
    async with asyncio.timeout(10):
        await heard.wait()
    assert process.status_pipe.message == b"no\n"
    assert await process.wait(deadline_s=10)
    process.close()


async def test_a_missing_program_is_named(walker: Walker, tmp_path: Path) -> None:
    """A program that is not there is an error of its own."""
    with pytest.raises(CommandNotFoundError, match=r"/no/such.*client_paths"):
        await run(walker, tmp_path, ("/no/such",))


async def test_a_program_behind_links_is_found(walker: Walker, tmp_path: Path) -> None:
    """An administrator's link in /usr/local/bin leads to a version somewhere else, over a directory that is a link."""
    versions = tmp_path / "versions"
    (versions / "1").mkdir(parents=True)
    (versions / "current").symlink_to("1")
    (versions / "1" / "client").write_text("#!/bin/sh\necho found\n")
    (versions / "1" / "client").chmod(0o755)
    link = tmp_path / "client"
    link.symlink_to(versions / "current" / "client")
    cage = make_cage(tmp_path, programs=(str(link),))
    process = await start_client((str(link),), env={}, log=tmp_path / "out", cage=cage, walker=walker, boot_id=BOOT)
    assert await process.wait(deadline_s=10)
    assert (process.exit_code, (tmp_path / "out").read_text()) == (0, "found\n")
    process.close()
