"""The cubefs driver against masters and a client that behave like the real ones."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import MountContext
from agent.drivers.cubefs import CubefsDriver
from tests.integration.drivers.running import context_in, mount_line, running
from tests.parts.cubefs import CubefsCluster
from weft.errors import ErrorCode, MountError
from weft.wire.share import parse_share

pytestmark = pytest.mark.integration

QUICK_S = 2.0
"""What the client itself says only after 75 s or more must be said in this time."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[CubefsCluster]:
    async with CubefsCluster(tmp_path / "cluster", masters=2) as started:
        started.add_volume("team", owner="alpha")
        yield started


def context_for(
    cluster: CubefsCluster, directory: Path, block: dict[str, Any] | None = None, **fields: Any
) -> MountContext:
    cubefs = {"volume": "team", "masters": cluster.masters, "owner": "alpha"} | (block or {})
    share = parse_share({"id": "data", "mount_point": str(directory / "mnt"), "cubefs": cubefs, **fields})
    return context_in(directory, share, {"cfs-client": cluster.client})


async def test_a_volume_is_mounted_read_and_written(cluster: CubefsCluster, tmp_path: Path) -> None:
    """The configuration is one that the client takes, and the mount is recognisably ours."""
    access_key, secret_key = cluster.add_key("pupil", writes=("team",))
    block = {"access_key": access_key, "secret_key": secret_key}
    (cluster.volume_dir("team") / "hello").write_text("tide")
    context = context_for(cluster, tmp_path, block)
    await CubefsDriver().check(context, deadline_s=5)
    async with running(CubefsDriver(), context) as client:
        assert client.is_mounted, client.failure().output
        fields = (mount_line(context.share.mount_point) or "").split(" - ")[1].split(" ")
        assert fields[:2] == ["fuse.cubefs", context.source]
        assert {"allow_other", "default_permissions"} <= set(fields[2].split(","))
        assert await asyncio.to_thread((client.mount_point / "hello").read_text) == "tide"
        await asyncio.to_thread((client.mount_point / "new").write_text, "ebb")
    assert (cluster.volume_dir("team") / "new").read_text() == "ebb"
    assert client.process.returncode == 0


async def test_no_secret_is_in_argv_or_environment(cluster: CubefsCluster, tmp_path: Path) -> None:
    """Every user of a guest can read the first, and the client prints the second when it fails."""
    access_key, secret_key = cluster.add_key("pupil", writes=("team",))
    context = context_for(cluster, tmp_path, {"access_key": access_key, "secret_key": secret_key})
    async with running(CubefsDriver(), context) as client:
        assert client.is_mounted, client.failure().output
        process = Path(f"/proc/{client.process.pid}")
        shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert access_key.encode() not in shown
        assert secret_key.encode() not in shown
        assert secret_key not in client.failure().output


async def test_a_read_only_share_refuses_writes(cluster: CubefsCluster, tmp_path: Path) -> None:
    """The client takes the switch only in the right type."""
    async with running(CubefsDriver(), context_for(cluster, tmp_path, readonly=True)) as client:
        assert client.is_mounted, client.failure().output
        with pytest.raises(OSError, match="Read-only"):
            await asyncio.to_thread((client.mount_point / "new").write_text, "x")


@pytest.mark.parametrize(
    ("block", "code"),
    [
        pytest.param({"volume": "nosuch"}, ErrorCode.NOT_FOUND, id="no such volume"),
        pytest.param({"volume": "no such!"}, ErrorCode.BAD_SPEC, id="impossible volume"),
        pytest.param({"owner": "beta"}, ErrorCode.AUTH, id="wrong owner"),
        pytest.param({"access_key": "A" * 16, "secret_key": "x"}, ErrorCode.AUTH, id="unknown key"),
        pytest.param({"secret_key": "wrong"}, ErrorCode.AUTH, id="wrong secret"),
        pytest.param({"volume": "other"}, ErrorCode.DENIED, id="no right"),
    ],
)
async def test_a_wrong_spec_is_named_at_once(
    cluster: CubefsCluster, tmp_path: Path, block: dict[str, Any], code: ErrorCode
) -> None:
    """The masters know in milliseconds what the client says after more than a minute."""
    cluster.add_volume("other", owner="gamma")
    access_key, secret_key = cluster.add_key("pupil", writes=("team",))
    keys = {} if "owner" in block else {"access_key": access_key, "secret_key": secret_key}
    context = context_for(cluster, tmp_path, keys | block)
    before_s = time.monotonic()
    with pytest.raises(MountError) as caught:
        await CubefsDriver().check(context, deadline_s=5)
    assert time.monotonic() - before_s < QUICK_S
    assert (caught.value.code, caught.value.is_permanent) == (code, True)
    assert secret_key not in str(caught.value) + caught.value.detail


@pytest.mark.parametrize("fault", ["refuse", "silence"])
async def test_masters_that_do_not_answer_are_named_in_time_and_tried_again(
    cluster: CubefsCluster, tmp_path: Path, fault: str
) -> None:
    """A dead cluster comes back; the client would take up to four minutes to notice."""
    if fault == "refuse":
        await cluster.refuse()
    else:
        cluster.silence()
    before_s = time.monotonic()
    with pytest.raises(MountError) as caught:
        await CubefsDriver().check(context_for(cluster, tmp_path), deadline_s=5)
    assert time.monotonic() - before_s < QUICK_S
    assert (caught.value.code, caught.value.is_permanent) == (ErrorCode.UNREACHABLE, False)


async def test_one_living_master_is_enough(cluster: CubefsCluster, tmp_path: Path) -> None:
    """The first answer counts, whatever the others do."""
    await cluster.members[0].refuse()
    await CubefsDriver().check(context_for(cluster, tmp_path), deadline_s=5)
    with pytest.raises(MountError) as caught:
        await CubefsDriver().check(context_for(cluster, tmp_path, {"volume": "nosuch"}), deadline_s=5)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_an_answer_that_is_not_a_masters_lets_the_mount_decide(cluster: CubefsCluster, tmp_path: Path) -> None:
    """A proxy's error page in front of a master says nothing about the volume."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = context_for(cluster, tmp_path, {"masters": [f"127.0.0.1:{port}"]})
        await CubefsDriver().check(context, deadline_s=5)


async def test_what_the_client_says_itself_is_classified(cluster: CubefsCluster, tmp_path: Path) -> None:
    """A missing subdir is known to the client only; its words are in its log file."""
    context = context_for(cluster, tmp_path, {"subdir": "no/such"})
    async with running(CubefsDriver(), context) as client:
        assert not client.is_mounted
        error = CubefsDriver().classify(context, client.failure())
    assert (error.code, error.is_permanent) == (ErrorCode.NOT_FOUND, True)
    assert "subdir(no/such" in error.detail
    assert "keyword[" not in error.detail


async def test_the_secret_that_the_client_logs_does_not_reach_the_error(cluster: CubefsCluster, tmp_path: Path) -> None:
    """It prints every option to its output, the secret key among them."""
    access_key, _ = cluster.add_key("pupil", writes=("team",))
    context = context_for(cluster, tmp_path, {"access_key": access_key, "secret_key": "y" * 32})
    async with running(CubefsDriver(), context) as client:
        assert not client.is_mounted
        assert "y" * 32 in (context.private_dir / "output").read_text()
        error = CubefsDriver().classify(context, client.failure())
    assert error.code is ErrorCode.AUTH
    assert "y" * 32 not in error.detail


async def test_a_start_upon_a_dead_mount_is_named(cluster: CubefsCluster, tmp_path: Path) -> None:
    """Nobody may start a client before the dead mount is detached."""
    context = context_for(cluster, tmp_path)
    async with running(CubefsDriver(), context) as client:
        assert client.is_mounted, client.failure().output
        client.process.kill()
        await asyncio.to_thread(client.process.wait, 10)
        with pytest.raises(OSError, match=r"not connected|aborted"):
            await asyncio.to_thread(os.listdir, client.mount_point)
        with (context.private_dir / "output").open("wb") as output:
            second = await asyncio.create_subprocess_exec(
                *client.command.argv, env=dict(client.command.env), stdout=output, stderr=output
            )
            assert await second.wait() == 1
        error = CubefsDriver().classify(context, client.failure())
        assert error.code is ErrorCode.OCCUPIED


async def test_the_version_is_the_clients_own(cluster: CubefsCluster) -> None:
    """It stands among the backends in the guest's status."""
    assert await CubefsDriver().find_version({"cfs-client": cluster.client}) == "3.5.3"
    assert await CubefsDriver().find_version({}) is None
