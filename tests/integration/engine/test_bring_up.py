"""Bringing shares up: what stands afterwards, and that nothing stands after a failure."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from agent.actual import Presence, Stage
from agent.mounts.engine import MountEngine
from agent.mounts.places import private_dir
from tests.parts.engine_rig import SECRET, EngineRig, slate
from tests.parts.shares import bind, unmount
from weft.errors import DeniedError, ErrorCode, ExitedEarlyError, MountError, MountTimeoutError, OccupiedError
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration


def assert_nothing_is_there(rig: EngineRig) -> None:
    """No record, no file, no directory, no mount."""
    assert rig.live.mounts == {}
    assert rig.private_files() == []
    assert list(rig.root.iterdir()) == []
    assert rig.entries_at(rig.root / "a") == ()


async def test_a_share_is_mounted_and_recorded(rig: EngineRig, engine: MountEngine) -> None:
    """After apply the mount shows, answers, and its record says who serves it."""
    await engine.apply(slate("a", rig.root / "deep" / "a"))
    live = engine.mounted()[ShareId("a")]
    entry = rig.entries_at(rig.root / "deep" / "a")[0]
    assert (live.stage, live.mount_id, live.device) == (Stage.MOUNTED, entry.mount_id, entry.device)
    assert live.made_directories == (str(rig.root / "deep"), str(rig.root / "deep" / "a"))
    assert engine.presence(ShareId("a")) is Presence.MOUNTED
    await engine.apply(unmount("a"))
    assert_nothing_is_there(rig)


async def test_private_files_are_private(rig: EngineRig, engine: MountEngine) -> None:
    """A client's files are its own: 0700 and 0600, and no secret is on its command line."""
    await engine.apply(slate("a", rig.root / "a"))
    directory = private_dir(rig.directory / "run", ShareId("a"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    assert modes == {directory.name: 0o700, "secret.conf": 0o600, "client.log": 0o600, "mount-point": 0o600}
    assert SECRET not in rig.command_line("a")
    await engine.apply(unmount("a"))


async def test_a_client_has_a_session_of_its_own_and_no_descriptor_of_ours(rig: EngineRig, engine: MountEngine) -> None:
    """A client inherits neither session, working directory nor open files."""
    await engine.apply(slate("a", rig.root / "a"))
    pid = rig.pid_of("a")
    assert os.getsid(pid) == pid
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert not any(name.startswith("socket:") for name in _descriptors(pid))
    await engine.apply(unmount("a"))


def _descriptors(pid: int) -> list[str]:
    return [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]


async def test_a_client_that_ends_at_once_fails_at_once(rig: EngineRig, engine: MountEngine) -> None:
    """The exit is the answer; nobody waits for the deadline, and the secret in its last words is redacted."""
    with pytest.raises(ExitedEarlyError) as caught:
        async with asyncio.timeout(5):  # the deadline of the command is four times this
            await engine.apply(slate("a", rig.root / "a", mode="exit"))
    assert caught.value.exit_code == 3
    assert caught.value.detail == "cannot log in with ***"
    assert_nothing_is_there(rig)


async def test_a_client_that_says_no_is_not_waited_for(rig: EngineRig, engine: MountEngine) -> None:
    """A refusal through the status pipe counts although the client still runs."""
    with pytest.raises(MountTimeoutError) as caught:
        async with asyncio.timeout(10):
            await engine.apply(slate("a", rig.root / "a", mode="refuse"))
    assert "no such volume" in caught.value.detail
    assert_nothing_is_there(rig)


async def test_a_client_that_never_mounts_is_stopped_at_the_deadline(rig: EngineRig, engine: MountEngine) -> None:
    """At the deadline nothing is left: no process, no directory, no file."""
    rig.driver.deadline_s = 0.5
    with pytest.raises(MountTimeoutError):
        await engine.apply(slate("a", rig.root / "a", mode="never"))
    assert_nothing_is_there(rig)


async def test_a_mount_whose_root_cannot_be_read_is_undone(rig: EngineRig, engine: MountEngine) -> None:
    """A client that mounts and then answers EIO has not mounted anything of use."""
    with pytest.raises(MountError, match="errno 5") as caught:
        await engine.apply(slate("a", rig.root / "a", mode="eio"))
    assert caught.value.code is ErrorCode.AUTH
    assert_nothing_is_there(rig)


async def test_a_cancelled_start_is_undone(rig: EngineRig, engine: MountEngine) -> None:
    """Whoever gives up on a start leaves nothing behind."""
    task = asyncio.create_task(engine.apply(slate("a", rig.root / "a", mode="never")))
    await rig.live.wait_for("a", lambda live: live.process is not None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert_nothing_is_there(rig)


async def test_a_directory_with_entries_is_refused_at_the_first_mount(rig: EngineRig, engine: MountEngine) -> None:
    """Nobody's files are hidden by a share that was never there."""
    (rig.root / "a").mkdir()
    (rig.root / "a" / "notes").touch()
    with pytest.raises(OccupiedError, match="notes"):
        await engine.apply(slate("a", rig.root / "a"))
    assert rig.live.mounts == {}


async def test_a_directory_that_was_there_stays(rig: EngineRig, engine: MountEngine) -> None:
    """Only what we made is removed."""
    (rig.root / "a").mkdir()
    await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(unmount("a"))
    assert (rig.root / "a").is_dir()


async def test_a_directory_is_left_to_the_share_that_still_needs_it(rig: EngineRig, engine: MountEngine) -> None:
    """A directory made for two mount points goes with the second of them."""
    await engine.apply(slate("a", rig.root / "both" / "a"))
    await engine.apply(slate("b", rig.root / "both" / "b"))
    await engine.apply(unmount("a"))
    assert (rig.root / "both" / "b").is_dir()
    await engine.apply(unmount("b"))
    assert_nothing_is_there(rig)


async def test_a_foreign_mount_is_never_covered(rig: EngineRig, engine: MountEngine) -> None:
    """A place that somebody else has mounted on is theirs."""
    with rig.foreign_mount(rig.root / "a"):
        with pytest.raises(OccupiedError, match="foreign"):
            await engine.apply(slate("a", rig.root / "a"))
        assert [entry.source for entry in rig.entries_at(rig.root / "a")] == ["foreign"]


async def test_a_mount_below_is_never_hidden(rig: EngineRig, engine: MountEngine) -> None:
    """A parent does not come up over a child that stands."""
    await engine.apply(slate("child", rig.root / "a" / "below"))
    with pytest.raises(OccupiedError, match="hide"):
        await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(unmount("child"))
    assert_nothing_is_there(rig)


async def test_the_policy_is_asked_first(rig: EngineRig, engine: MountEngine) -> None:
    """A mount point outside the allowed roots is refused before anything is made."""
    with pytest.raises(DeniedError):
        await engine.apply(slate("a", rig.directory / "elsewhere"))
    assert not (rig.directory / "elsewhere").exists()


async def test_twenty_shares_come_up_at_once(rig: EngineRig, engine: MountEngine) -> None:
    """Shares do not wait for each other."""
    shares = [slate(f"s{number}", rig.root / "many" / str(number)) for number in range(20)]
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(engine.apply(share))
    assert all(engine.presence(share.share_id) is Presence.MOUNTED for share in shares)
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(engine.apply(unmount(share.id)))
    assert rig.live.mounts == {}
    assert rig.private_files() == []


async def test_a_slow_share_delays_no_other(rig: EngineRig, engine: MountEngine) -> None:
    """While one client does not come up, another share is mounted and taken away."""
    slow = asyncio.create_task(engine.apply(slate("slow", rig.root / "slow", mode="never")))
    await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(unmount("a"))
    assert not slow.done()
    slow.cancel()
    await asyncio.wait([slow])
    assert_nothing_is_there(rig)


async def test_a_bind_is_read_only_and_private_of_devices(rig: EngineRig, engine: MountEngine) -> None:
    """A bind shows its source, and its options are in force when apply returns."""
    source = rig.directory / "sources" / "s"
    source.mkdir()
    (source / "note").write_text("text")
    await engine.apply(bind("b", str(rig.root / "b"), source=str(source), readonly=True))
    entry = rig.entries_at(rig.root / "b")[0]
    assert {"ro", "nosuid", "nodev"} <= entry.options
    assert (rig.root / "b" / "note").read_text() == "text"
    with pytest.raises(OSError, match="Read-only"):
        (rig.root / "b" / "note").write_text("other")
    assert rig.private_files() == []
    await engine.apply(unmount("b"))
    assert (source / "note").read_text() == "text"
    assert_nothing_is_there(rig)


async def test_a_bind_of_a_forbidden_source_is_refused(rig: EngineRig, engine: MountEngine) -> None:
    """Sources are judged as mount points are."""
    with pytest.raises(DeniedError, match="source root"):
        await engine.apply(bind("b", str(rig.root / "b"), source="/etc"))
    assert_nothing_is_there(rig)


async def test_a_program_that_is_missing_is_named(rig: EngineRig, engine: MountEngine) -> None:
    """A guest without the client says which program to install, and nothing was changed."""
    rig.driver.programs = ("python", "slate-tool")  # type: ignore[misc]
    with pytest.raises(MountError, match="slate-tool is not installed") as caught:
        await engine.apply(slate("a", rig.root / "a"))
    assert caught.value.code is ErrorCode.HELPER_MISSING
    assert_nothing_is_there(rig)
