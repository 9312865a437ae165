"""A folder of the operator's machine in a real guest: served, written to, replaced after a crash, taken away."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from controlplane import ControlPlane
from controlplane.folder_server import FolderServer
from tests.integration.controlplane.test_weft_command import Operator
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.shares import bind
from weft.errors import ConfigError, ProcessError, UnknownNameError
from weft.wire.share import parse_share, share_secrets, share_to_builtins

pytestmark = pytest.mark.integration
DEADLINE_S = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file, and a way out that nobody may take."""
    path = tmp_path / "hand-out"
    path.mkdir()
    (path / "note.txt").write_text("from the teacher")
    (tmp_path / "private.txt").write_text("not for guests")
    (path / "way-out").symlink_to(tmp_path / "private.txt")
    return path


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory for a guest; sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="ws-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
async def plane(broker: Broker) -> AsyncIterator[ControlPlane]:
    """A control plane whose streams are made."""
    async with ControlPlane.connect(broker.url, operator="teacher") as connected:
        await connected.init()
        yield connected


@pytest.fixture
async def agent(short: Path, broker: Broker, plane: ControlPlane) -> AsyncIterator[AgentProcess]:
    """A guest that mounts for real."""
    async with AgentProcess(short, broker.url) as running:
        yield running


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another process does to the file system, which tells nobody."""
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def accepts(port: int) -> bool:
    """Say whether anybody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_writable_folder_is_shared_both_ways(plane: ControlPlane, agent: AgentProcess, folder: Path) -> None:
    """What a guest writes is stored before the share goes; then share and server are gone."""
    at = agent.mounts / "work"
    async with plane.serve(folder, vms=["vm-7"], at=str(at), writable=True) as served:
        assert (await plane.wait(served.fan_out, timeout_s=DEADLINE_S)).is_converged
        assert await asyncio.to_thread((at / "note.txt").read_text) == "from the teacher"
        assert not await asyncio.to_thread((at / "way-out").exists)
        await asyncio.to_thread((at / "answer.txt").write_text, "from the guest")
        pid = served.server.pid
        assert pid is not None
    assert (folder / "answer.txt").read_text() == "from the guest"
    assert served.farewell is not None
    assert served.farewell.is_converged
    assert read_mount_table().at(str(at)) == ()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(UnknownNameError):
        await plane.share("hand-out")


async def test_a_folder_is_read_only_unless_told_otherwise(
    plane: ControlPlane, agent: AgentProcess, folder: Path
) -> None:
    """For guests; what is put into the folder meanwhile shows in them."""
    at = agent.mounts / "docs"
    async with plane.serve(folder, vms=["vm-7"], at=str(at)) as served:
        assert (await plane.wait(served.fan_out, timeout_s=DEADLINE_S)).is_converged
        with pytest.raises(OSError, match="Read-only"):
            await asyncio.to_thread((at / "new").write_text, "x")
        (folder / "later.txt").write_text("later")
        await until((at / "later.txt").exists)


async def test_the_password_is_in_no_command_line(folder: Path) -> None:
    """Everybody on the machine can read those."""
    async with FolderServer(folder, host="127.0.0.1") as server:
        password = server.block("127.0.0.1")["config"]["pass"]
        command = await asyncio.to_thread(Path(f"/proc/{server.pid}/cmdline").read_text)
        assert "serve" in command
        assert password not in command


async def test_a_guest_refuses_a_server_with_another_key(
    plane: ControlPlane, agent: AgentProcess, folder: Path
) -> None:
    """The published key is checked: whoever takes over the address gets no password."""
    async with FolderServer(folder, host="127.0.0.1") as server, FolderServer(folder, host="127.0.0.1") as other:
        block = server.block("127.0.0.1")
        block["config"]["host_keys"] = other.block("127.0.0.1")["config"]["host_keys"]
        at = str(agent.mounts / "docs")
        share = parse_share({"id": "docs", "backend": "rclone", "mount_point": at, "rclone": block})
        await plane.publish(share, vms=["vm-7"])
        status = await agent.until(lambda status: any("error" in each for each in status["shares"]))
        (shown,) = status["shares"]
        assert shown["state"] != "mounted"
        assert "host key" in shown["error"]["detail"], shown
        await plane.wait(await plane.unpublish("docs"), timeout_s=DEADLINE_S)


async def test_a_share_of_another_kind_is_not_replaced(plane: ControlPlane, folder: Path) -> None:
    """A folder's name is soon taken."""
    await plane.publish(bind("hand-out"), vms=["vm-7"])
    with pytest.raises(ConfigError, match="another name"):
        async with plane.serve(folder, vms=["vm-7"]):
            raise AssertionError("it is served")
    assert (await plane.share("hand-out")).share.backend_name == "bind"


async def test_whoever_serves_later_is_left_alone(plane: ControlPlane, folder: Path) -> None:
    """The first to leave does not take away what the second one published under the same name."""
    async with plane.serve(folder, vms=["vm-7"], farewell_s=0.1) as second:
        async with plane.serve(folder, vms=["vm-8"], farewell_s=0.1) as later:
            assert later.share != second.share
            record = await plane.share("hand-out")
            assert record.share == later.share
            assert list(record.targets.vms) == ["vm-8"]
        with pytest.raises(UnknownNameError):
            await plane.share("hand-out")


async def test_a_port_that_is_taken_is_said(plane: ControlPlane, folder: Path) -> None:
    """Nothing is published then."""
    async with FolderServer(folder, host="127.0.0.1") as server:
        with pytest.raises(ProcessError, match="address already in use"):
            async with plane.serve(folder, vms=["vm-7"], host="127.0.0.1", port=server.port):
                raise AssertionError("it is served")
    assert await plane.shares() == []


async def test_the_command_serves_until_ctrl_c(
    plane: ControlPlane, agent: AgentProcess, broker: Broker, folder: Path, tmp_path: Path
) -> None:
    """It says when every guest has it; Ctrl-C takes it away and waits for that."""
    weft = Operator(broker.url, tmp_path)
    at = agent.mounts / "docs"
    process = await weft.start("serve", str(folder), "--vm", "vm-7", "--at", str(at))
    assert process.stderr is not None
    said: list[str] = []
    async with asyncio.timeout(DEADLINE_S):
        while "Ctrl-C" not in (line := (await process.stderr.readline()).decode()):
            assert line, said
            said.append(line)
    assert "converged: 1 VM" in "".join(said)
    secrets = share_secrets((await plane.share("hand-out")).share)
    assert not [secret for secret in secrets if len(secret) > 8 and secret in "".join(said)]
    assert await asyncio.to_thread((at / "note.txt").read_text) == "from the teacher"
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0
    assert read_mount_table().at(str(at)) == ()
    assert await plane.shares() == []


async def test_after_a_crash_the_same_command_replaces_what_was_left(
    plane: ControlPlane, agent: AgentProcess, broker: Broker, folder: Path, tmp_path: Path
) -> None:
    """The server dies with the command; the next one brings the guests a new one."""
    weft = Operator(broker.url, tmp_path)
    at = agent.mounts / "docs"
    wanted = ("serve", str(folder), "--vm", "vm-7", "--at", str(at))
    process = await weft.start(*wanted)
    await agent.until_states(**{"hand-out": "mounted"})
    first = (await plane.share("hand-out")).share
    process.kill()
    await process.wait()
    await until(lambda: not accepts(int(share_to_builtins(first)["rclone"]["config"]["port"])))
    process = await weft.start(*wanted)
    async with asyncio.timeout(DEADLINE_S):
        while (await plane.share("hand-out")).share == first:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)
        outcome = await plane.wait("hand-out", timeout_s=DEADLINE_S)
    assert outcome.is_converged
    assert await asyncio.to_thread((at / "note.txt").read_text) == "from the teacher"
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(DEADLINE_S):
        assert await process.wait() == 0
