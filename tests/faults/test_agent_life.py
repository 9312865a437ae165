"""Agents that die, forget, cannot keep what they know, or are not who they think they are."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agent.ledger import LEDGER_FILE, LIVE_FILE
from agent.trial import LIMIT, TRIAL_FILE
from tests.faults.guest import FaultyGuest, states_of
from tests.faults.timings import Timings
from tests.parts.agent_process import AgentProcess
from tests.parts.processes import wait_for_file, wait_until_ended
from weft.wire.share import share_to_builtins

pytestmark = pytest.mark.integration


async def test_f05_agent_that_is_killed_or_restarted_takes_no_mount_along(guest: FaultyGuest, timings: Timings) -> None:
    """A file that is open goes on being read and written, and the same client serves it afterwards."""
    share = guest.rclone("a")
    async with guest.agent:
        await guest.settle(share)
        pid = guest.pid_of("a")
        with (guest.at("a") / "open.txt").open("w") as file:
            for number in (signal.SIGKILL, signal.SIGTERM):
                timings.injected()
                await guest.agent.stop(number)
                await asyncio.to_thread(file.write, f"{number.name} ")
                await asyncio.to_thread(file.flush)
                await guest.agent.start()
                await guest.until_mounted("a")
                timings.repaired()
        assert guest.pid_of("a") == pid
        assert await guest.read("a", "open.txt") == "SIGKILL SIGTERM "
        await guest.settle()


async def test_f06_agent_that_forgot_adopts_its_own_and_touches_nothing_else(
    guest: FaultyGuest, timings: Timings
) -> None:
    """Nothing is mounted a second time, and a stranger's mount stays, wherever it is."""
    shares = guest.rclone("a"), guest.rclone("b")
    async with guest.agent:
        await guest.settle(*shares)
        pids = [guest.pid_of(share.id) for share in shares]
        with guest.foreign_mount("theirs"):
            timings.injected()
            await guest.agent.stop(signal.SIGKILL)
            for name in (LEDGER_FILE, LIVE_FILE):
                (guest.agent.state_dir / name).unlink()
            await guest.agent.start()
            await guest.until_mounted("a", "b")
            timings.repaired()
            assert [guest.pid_of(share.id) for share in shares] == pids, guest.agent.log_path.read_text()
            assert [len(guest.entries_at(share.id)) for share in shares] == [1, 1]
            await guest.settle()
            assert [entry.source for entry in guest.entries_at("theirs")] == ["foreign"]


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """Have a file system of 256 KiB at *path*."""
    path.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def fill(directory: Path) -> Path:
    """Fill the file system of *directory*, and return the file that does it."""
    path = directory / "full"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            continue
    return path


def make_read_only(directory: Path, *, is_read_only: bool) -> None:
    subprocess.run(["mount", "-o", f"remount,{'ro' if is_read_only else 'rw'}", directory], check=True)


async def test_f44_damaged_ledger_costs_no_live_mount(guest: FaultyGuest, timings: Timings) -> None:
    """Damaged it is set aside, on a full or read-only disk it is done without, and that of a newer agent is refused."""
    state = guest.agent.state_dir
    share = guest.rclone("a", options={"vfs-cache-mode": "off"})
    with small_disk(state):
        async with guest.agent:
            await guest.settle(share)
            pid = guest.pid_of("a")
            for damage in (b"", b'{"schema":1,"vm":"vm-7","des', b"\xff\x00garbage"):
                await guest.agent.stop(signal.SIGKILL)
                timings.injected()
                for name in (LEDGER_FILE, LIVE_FILE):
                    (state / name).write_bytes(damage)
                await guest.agent.start()
                await guest.until_mounted("a")
                timings.repaired()
                assert guest.pid_of("a") == pid
            filler = fill(state)
            await guest.publish(share, guest.bind("b"))
            status = await guest.agent.until(lambda status: states_of(status) == {"a": "mounted", "b": "mounted"})
            assert "No space left" in status["problem"]["message"]
            filler.unlink()
            await guest.settle(share)
            assert "problem" not in await guest.agent.status()
            make_read_only(state, is_read_only=True)
            await guest.publish(share, guest.bind("b"))
            status = await guest.agent.until(lambda status: states_of(status) == {"a": "mounted", "b": "mounted"})
            assert "Read-only file system" in status["problem"]["message"]
            make_read_only(state, is_read_only=False)
            await guest.settle(share)
            await guest.agent.stop()
            ledger = json.loads((state / LEDGER_FILE).read_text())
            (state / LEDGER_FILE).write_text(json.dumps(ledger | {"schema": 99}))
            with pytest.raises(AssertionError, match="install the newer agent again"):
                await guest.agent.start()
            assert (await guest.read("a"), len(guest.entries_at("a"))) == ("a", 1)
            (state / LEDGER_FILE).write_text(json.dumps(ledger))
            await guest.agent.start()
            await guest.until_mounted("a")
            assert guest.pid_of("a") == pid
            await guest.settle()


DEADLY = """
import os, time
from pathlib import Path
from typing import Annotated, ClassVar

from agent.drivers.kernel import BindDriver
from weft.wire.blocks import Block
from weft.wire.fields import declare


class DeadlyBlock(Block, frozen=True, kw_only=True):
    how: Annotated[str, declare("How it ends the agent.")]
    note: Annotated[str, declare("A file that tells that it is about to.")]
    source: Annotated[str, declare("A directory.")]

    def __post_init__(self):
        if self.how == "hang":
            Path(self.note).write_text("now")
            time.sleep(3600)
        elif self.how == "decode":
            os.abort()


class DeadlyDriver(BindDriver):
    name = "deadly"
    block = DeadlyBlock

    def source_paths(self, share):
        os.abort()
"""


def install_deadly(directory: Path) -> Path:
    """Install a backend that ends the agent, and return what to put on its Python's path."""
    info = directory / "deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (directory / "deadly.py").write_text(DEADLY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[weft.drivers]\ndeadly = deadly:DeadlyDriver\n")
    return directory


async def wait_until_proven(agent: AgentProcess) -> None:
    """Wait until the agent is known to live with what it holds."""
    async with asyncio.timeout(10):
        while not json.loads((agent.state_dir / TRIAL_FILE).read_text())["is_proven"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["decode", "hang", "mount"])
async def test_f43_message_that_ends_the_agent_at_every_start_is_set_aside(
    guest: FaultyGuest, tmp_path: Path, timings: Timings, how: str
) -> None:
    """What was held before counts, no mount is touched, and it is said; the next message is obeyed."""
    agent, note, share = guest.agent, tmp_path / "note", guest.rclone("a")
    agent.python_path += f":{install_deadly(tmp_path / 'packages')}"
    deadly = {"id": "d", "backend": "deadly", "mount_point": str(guest.at("d"))}
    deadly["deadly"] = {"how": how, "note": str(note), "source": str(agent.source("d"))}
    async with agent:
        await guest.settle(share)
        pid = guest.pid_of("a")
        await wait_until_proven(agent)
        timings.injected()
        guest.revision += 1
        message = {"vm": agent.vm, "revision": guest.revision, "shares": [share_to_builtins(share), deadly]}
        await guest.store(json.dumps(message).encode())
        for _ in range(LIMIT):
            if how == "hang":
                await wait_for_file(note)
                note.unlink()
            else:
                await wait_until_ended(agent.pid)
            await agent.stop(signal.SIGABRT)  # as the service manager does when its watchdog is not fed
            await agent.start()
        status = await agent.until(lambda status: "problem" in status and states_of(status) == {"a": "mounted"})
        timings.detected()
        assert "set aside" in status["problem"]["message"]
        assert guest.pid_of("a") == pid
        await guest.settle(share, guest.bind("b"))
        timings.repaired()
        assert "problem" not in await agent.status()
        await guest.settle()
