"""The rclone driver with the real rclone, against real S3, SFTP and WebDAV servers."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.drivers.base import MountContext
from agent.drivers.rclone import RcloneDriver
from agent.drivers.rclone_config import build_config
from agent.drivers.rclone_control import find_uploads
from tests.integration.drivers.running import context_in, mount_line, running
from tests.parts.rclone_servers import RcloneServer, rclone_binary
from weft.errors import CommandNotFoundError, ErrorCode, HungError, MountError, ProcessError
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

DRAIN_S = 20.0


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[RcloneServer]:
    async with RcloneServer.s3(tmp_path) as server:
        (server.root / "bucket").mkdir()
        yield server


def share_of(
    directory: Path,
    config: dict[str, str],
    path: str = "bucket",
    *,
    remotes: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    **fields: Any,
) -> ShareMount:
    options = {"vfs-write-back": "0s"} if options is None else options
    block = {"type": config["type"], "path": path, "config": config, "remotes": remotes or {}, "options": options}
    return parse_share(
        {"id": "data", "backend": "rclone", "mount_point": str(directory / "mnt"), "rclone": block, **fields}
    )


def context_for(directory: Path, share: ShareMount) -> MountContext:
    return context_in(directory, share, {"rclone": Path(rclone_binary())})


async def drained(driver: RcloneDriver, context: MountContext) -> None:
    """Wait until the client has stored everything, as the engine does before it unmounts."""
    async with asyncio.timeout(DRAIN_S):
        while (await driver.find_pending(context, deadline_s=5)).files:  # noqa: ASYNC110 - it has no event for this
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("protocol", ["s3", "sftp", "webdav"])
async def test_a_remote_is_mounted_read_and_written(protocol: str, tmp_path: Path) -> None:
    """The spec's plain passwords arrive, files go both ways, and the mount is recognisably ours."""
    driver = RcloneDriver()
    async with getattr(RcloneServer, protocol)(tmp_path) as server:
        (server.root / "bucket").mkdir()
        (server.root / "bucket" / "hello").write_text("tide")
        context = context_for(tmp_path, share_of(tmp_path, server.config))
        await driver.check(context, deadline_s=10)
        async with running(driver, context) as client:
            assert client.is_mounted, client.failure().output
            fields = (mount_line(context.share.mount_point) or "").split(" - ")
            assert {"nosuid", "nodev"} <= set(fields[0].split(" ")[5].split(","))
            assert fields[1].split(" ")[:2] == ["fuse.rclone", context.source]
            assert {"allow_other", "default_permissions"} <= set(fields[1].split(" ")[2].split(","))
            assert await asyncio.to_thread((client.mount_point / "hello").read_text) == "tide"
            await asyncio.to_thread((client.mount_point / "new").write_text, "ebb")
            await drained(driver, context)
        assert (server.root / "bucket" / "new").read_text() == "ebb"
        assert client.process.returncode == 0


@pytest.mark.parametrize("protocol", ["s3", "sftp", "webdav"])
async def test_no_secret_is_in_argv_or_environment(protocol: str, tmp_path: Path) -> None:
    """Every user of a guest can read a process's arguments."""
    async with getattr(RcloneServer, protocol)(tmp_path) as server:
        (server.root / "bucket").mkdir()
        context = context_for(tmp_path, share_of(tmp_path, server.config))
        async with running(RcloneDriver(), context) as client:
            assert client.is_mounted, client.failure().output
            process = Path(f"/proc/{client.process.pid}")
            shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            hidden = {server.config.get(name) for name in ("pass", "secret_access_key", "access_key_id")} - {None}
            for secret in {str(value) for value in hidden} | client.command.secrets:
                assert secret.encode() not in shown
            assert stat.S_IMODE((context.private_dir / "rclone.conf").stat().st_mode) == 0o600


async def test_a_writable_share_is_open_to_everybody_and_a_read_only_one_to_nobody(
    s3: RcloneServer, tmp_path: Path
) -> None:
    """Modes are enforced, so they must say what was asked for."""
    (s3.root / "bucket" / "hello").write_text("tide")
    async with running(RcloneDriver(), context_for(tmp_path, share_of(tmp_path, s3.config))) as client:
        assert client.is_mounted, client.failure().output
        modes = await asyncio.to_thread(_modes, client.mount_point)
        assert modes == (0o777, 0o666)
    (tmp_path / "second").mkdir()
    share = share_of(tmp_path / "second", s3.config, readonly=True, uid=1234)
    async with running(RcloneDriver(), context_for(tmp_path / "second", share)) as client:
        assert client.is_mounted, client.failure().output
        assert await asyncio.to_thread(_modes, client.mount_point) == (0o755, 0o644)
        assert (await asyncio.to_thread((client.mount_point / "hello").stat)).st_uid == 1234
        with pytest.raises(OSError, match="Read-only"):
            await asyncio.to_thread((client.mount_point / "new").write_text, "x")


def _modes(mount_point: Path) -> tuple[int, int]:
    return stat.S_IMODE(mount_point.stat().st_mode), stat.S_IMODE((mount_point / "hello").stat().st_mode)


async def test_a_remote_is_encrypted_through_another_one(s3: RcloneServer, tmp_path: Path) -> None:
    """crypt finds the remote that it wraps in the same file, and the bucket holds no plain name or text."""
    driver = RcloneDriver()
    crypt = {"type": "crypt", "remote": "base:bucket", "password": "tide pool", "password2": "salt"}
    context = context_for(tmp_path, share_of(tmp_path, crypt, "", remotes={"base": s3.config}))
    await driver.check(context, deadline_s=10)
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        await asyncio.to_thread((client.mount_point / "plain-name").write_text, "plain text")
        await drained(driver, context)
    (stored,) = (s3.root / "bucket").iterdir()
    assert stored.name != "plain-name"
    assert b"plain text" not in stored.read_bytes()


async def test_pending_uploads_are_counted_until_they_are_stored(s3: RcloneServer, tmp_path: Path) -> None:
    """A stopped mount would lose them, so the engine asks before it unmounts."""
    driver = RcloneDriver()
    context = context_for(tmp_path, share_of(tmp_path, s3.config, options={"vfs-write-back": "1s"}))
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        await asyncio.to_thread((client.mount_point / "new").write_bytes, b"x" * 4096)
        pending = await driver.find_pending(context, deadline_s=5)
        assert (pending.files, pending.total_bytes) == (1, 4096)
        await drained(driver, context)
        assert (s3.root / "bucket" / "new").stat().st_size == 4096


async def test_an_upload_that_fails_stays_pending_and_is_stored_in_the_end(s3: RcloneServer, tmp_path: Path) -> None:
    """Also where the operator asked for no delay, which rclone itself would take as leave to forget it."""
    driver = RcloneDriver()
    context = context_for(tmp_path, share_of(tmp_path, s3.config, options={"vfs-write-back": "0s"}))
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        await asyncio.to_thread(_names, client.mount_point)
        await s3.kill()
        await asyncio.to_thread((client.mount_point / "new").write_text, "ebb")
        assert (await driver.find_pending(context, deadline_s=5)).files == 1
        await s3.start()
        await drained(driver, context)
        assert (s3.root / "bucket" / "new").read_text() == "ebb"


async def test_refresh_shows_what_changed_behind_the_mount(s3: RcloneServer, tmp_path: Path) -> None:
    """Also in subdirectories, whose listings are held as long as the root's."""
    driver = RcloneDriver()
    (s3.root / "bucket" / "sub").mkdir()
    (s3.root / "bucket" / "sub" / "old").write_text("x")
    context = context_for(tmp_path, share_of(tmp_path, s3.config, cache={"ttl_s": 3600}))
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        sub = client.mount_point / "sub"
        assert await asyncio.to_thread(_names, sub) == {"old"}
        (s3.root / "bucket" / "sub" / "new").write_text("y")
        assert await asyncio.to_thread(_names, sub) == {"old"}
        await driver.refresh(context, deadline_s=10)
        assert await asyncio.to_thread(_names, sub) == {"old", "new"}


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def test_new_keys_are_taken_on_without_a_remount(s3: RcloneServer, tmp_path: Path) -> None:
    """The mount lives on with the server's new pair, and with the old one where the new one is wrong."""
    driver = RcloneDriver()
    old = share_of(tmp_path, s3.config, options={"dir-cache-time": "0s", "vfs-write-back": "0s"})
    context = context_for(tmp_path, old)
    wrong = _with_keys(old, access_key_id="C" * 20, secret_access_key="wrong-secret")
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        with pytest.raises(MountError) as caught:
            await driver.apply_live(old, _context_with(context, wrong), deadline_s=10)
        assert caught.value.code is ErrorCode.AUTH
        assert "wrong-secret" not in str(caught.value) + caught.value.detail
        await asyncio.to_thread((client.mount_point / "before").write_text, "x")
        await drained(driver, context)
        await s3.rotate_keys()
        rotated = _with_keys(old, **s3.config)
        assert driver.can_apply_live(old, rotated)
        with pytest.raises(OSError, match="Input/output"):
            await asyncio.to_thread(_names, client.mount_point)
        await driver.apply_live(old, _context_with(context, rotated), deadline_s=10)
        await asyncio.to_thread((client.mount_point / "after").write_text, "y")
        await drained(driver, context)
        assert client.process.poll() is None
    assert _names(s3.root / "bucket") == {"before", "after"}


def _with_keys(share: ShareMount, **keys: str) -> ShareMount:
    assert share.rclone is not None
    return msgspec.structs.replace(
        share, rclone=msgspec.structs.replace(share.rclone, config={**share.rclone.config, **keys})
    )


def _context_with(context: MountContext, share: ShareMount) -> MountContext:
    return context_in(context.private_dir.parent, share, dict(context.programs))


@pytest.mark.parametrize(
    ("change", "path", "code", "is_permanent"),
    [
        pytest.param({"access_key_id": "D" * 20}, "bucket", "auth", True, id="access key"),
        pytest.param({"secret_access_key": "wrong-secret"}, "bucket", "auth", True, id="secret key"),
        pytest.param({}, "nosuch", "not_found", True, id="bucket"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, "bucket", "unreachable", False, id="server"),
        pytest.param({"type": "nosuch"}, "bucket", "denied", True, id="type"),
    ],
)
async def test_a_wrong_s3_spec_is_named_before_anything_is_mounted(
    s3: RcloneServer, tmp_path: Path, change: dict[str, str], path: str, code: str, is_permanent: bool
) -> None:
    """An old mount stays when the new key or bucket is wrong; rclone itself would mount and then answer EIO."""
    context = context_for(tmp_path, share_of(tmp_path, s3.config | change, path))
    with pytest.raises(MountError) as caught:
        await RcloneDriver().check(context, deadline_s=10)
    assert (caught.value.code, caught.value.is_permanent) == (code, is_permanent)
    assert "wrong-secret" not in str(caught.value) + caught.value.detail
    assert not context.private_dir.exists()


@pytest.mark.parametrize(
    ("protocol", "change", "path", "code"),
    [
        pytest.param("sftp", {"pass": "wrong-password"}, "", ErrorCode.AUTH, id="SFTP password"),
        pytest.param("sftp", {}, "nosuch", ErrorCode.NOT_FOUND, id="SFTP directory"),
        pytest.param("sftp", {"port": "9"}, "", ErrorCode.UNREACHABLE, id="SFTP server"),
        pytest.param("webdav", {"pass": "wrong-password"}, "", ErrorCode.AUTH, id="WebDAV password"),
        pytest.param("webdav", {}, "nosuch", ErrorCode.NOT_FOUND, id="WebDAV directory"),
        pytest.param("webdav", {"url": "http://127.0.0.1:9"}, "", ErrorCode.UNREACHABLE, id="WebDAV server"),
    ],
)
async def test_a_wrong_spec_of_other_servers_is_named_too(
    protocol: str, change: dict[str, str], path: str, code: ErrorCode, tmp_path: Path
) -> None:
    """Every protocol has its own words for the same few mistakes."""
    async with getattr(RcloneServer, protocol)(tmp_path) as server:
        context = context_for(tmp_path, share_of(tmp_path, server.config | change, path))
        with pytest.raises(MountError) as caught:
            await RcloneDriver().check(context, deadline_s=10)
    assert caught.value.code is code
    assert "wrong-password" not in str(caught.value) + caught.value.detail


async def test_a_server_that_is_silent_holds_up_the_check_only_so_long(s3: RcloneServer, tmp_path: Path) -> None:
    """The check says nothing then: the mount finds out, with more time."""
    context = context_for(tmp_path, share_of(tmp_path, s3.config))
    s3.suspend()
    try:
        async with asyncio.timeout(5):
            await RcloneDriver().check(context, deadline_s=0.5)
    finally:
        s3.resume()


async def test_a_wrong_key_is_named_from_the_running_mount_as_well(s3: RcloneServer, tmp_path: Path) -> None:
    """The mount comes up all the same; reading its root fails and the log says why."""
    driver = RcloneDriver()
    context = context_for(tmp_path, share_of(tmp_path, s3.config | {"secret_access_key": "wrong-secret"}))
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        with pytest.raises(OSError, match="Input/output") as caught:
            await asyncio.to_thread(_names, client.mount_point)
        error = driver.classify(context, client.failure(root_errno=caught.value.errno))
    assert error.code is ErrorCode.AUTH


async def test_a_flag_that_this_rclone_does_not_know_is_named(s3: RcloneServer, tmp_path: Path) -> None:
    """What a guest allows and we cannot know, rclone says at once."""
    driver = RcloneDriver(allow_options=frozenset({"vfs-no-such-thing"}))
    context = context_for(tmp_path, share_of(tmp_path, s3.config, options={"vfs-no-such-thing": "1"}))
    async with running(driver, context) as client:
        assert not client.is_mounted
        error = driver.classify(context, client.failure())
    assert error.code is ErrorCode.BAD_SPEC
    assert "vfs-no-such-thing" in error.detail


async def test_a_client_that_does_not_answer_is_told_from_one_that_is_gone(s3: RcloneServer, tmp_path: Path) -> None:
    """The engine waits for the first and restarts the second."""
    driver = RcloneDriver()
    context = context_for(tmp_path, share_of(tmp_path, s3.config))
    async with running(driver, context) as client:
        assert client.is_mounted, client.failure().output
        client.process.send_signal(19)
        with pytest.raises(HungError):
            await driver.find_pending(context, deadline_s=0.5)
        client.process.send_signal(18)
        assert (await driver.find_pending(context, deadline_s=5)).files == 0
        client.process.kill()
        await asyncio.to_thread(client.process.wait, 10)
        with pytest.raises(ProcessError):
            await driver.find_pending(context, deadline_s=5)


async def test_a_control_socket_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The mount may show before it; "no socket" must not be taken for "nothing pending"."""
    path = tmp_path / "rc.sock"
    asking = asyncio.create_task(find_uploads(path, deadline_s=10))
    await asyncio.sleep(0)
    assert not asking.done()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        assert (await asking).files == 0
    path.unlink()
    with pytest.raises(HungError):
        await find_uploads(path, deadline_s=0.1)


async def test_rclone_reads_back_what_we_write(tmp_path: Path) -> None:
    """Quotes, blanks and backticks survive rclone's file format; passwords can be revealed."""
    odd = [" a ", '"q"', "'q'", "`b`", "x`y", "a=b", "#c", ";d", "[e]", "back\\slash", "100%", "ünï", 'a"b', "$HOME"]
    config = {"type": "s3", **{f"option_{index}": value for index, value in enumerate(odd)}}
    share = share_of(tmp_path, config)
    assert share.rclone is not None
    path = tmp_path / "rclone.conf"
    path.write_bytes(build_config(share, share.rclone, frozenset(config)).content)
    shown = await _output_of("config", "dump", "--config", str(path))
    assert json.loads(shown)["weft"] == config


async def _output_of(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(rclone_binary(), *arguments, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    return stdout.decode()


async def test_an_old_rclone_is_refused_before_anything_is_mounted(s3: RcloneServer, tmp_path: Path) -> None:
    """Debian 12's has no control socket: uploads could not be drained."""
    old = tmp_path / "rclone"
    old.write_text("#!/bin/sh\necho rclone v1.60.1-DEV\n")
    old.chmod(0o755)
    context = context_in(tmp_path, share_of(tmp_path, s3.config), {"rclone": old})
    with pytest.raises(CommandNotFoundError, match=r"1\.60\.1-DEV is too old"):
        await RcloneDriver().check(context, deadline_s=10)
    assert await RcloneDriver().find_version({"rclone": old}) == "1.60.1-DEV"
