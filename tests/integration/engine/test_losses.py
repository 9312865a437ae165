"""Losing a mount: it is told at once, and the next apply brings it back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.actual import Presence
from agent.mounts.engine import MountEngine
from agent.mounts.liveness import Liveness
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.processes import wait_until_ended
from tests.parts.shares import bind, unmount
from weft.errors import ErrorCode, ExitedEarlyError, NotMountedError, OccupiedError
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration

A = ShareId("a")


async def test_a_killed_client_is_told_and_healed(rig: EngineRig, engine: MountEngine) -> None:
    """A dead mount is known by the exit of its client; the next apply detaches it and mounts again."""
    await engine.apply(slate("a", rig.root / "a"))
    pid = rig.pid_of("a")
    rig.kill_client("a")
    error = await rig.wait_for_change(lambda error: error is not None)
    assert isinstance(error, ExitedEarlyError)
    assert (error.code, error.exit_code) == (ErrorCode.EXITED, -9)
    assert engine.presence(A) is Presence.UNCERTAIN
    assert await engine.probe(A, 1.0) is Liveness.DEAD
    await engine.apply(slate("a", rig.root / "a"))
    assert engine.presence(A) is Presence.MOUNTED
    assert rig.pid_of("a") != pid
    assert len(rig.entries_at(rig.root / "a")) == 1
    assert (rig.root / "a" / "hello").read_text() == "hello\n"
    await engine.apply(unmount("a"))
    assert rig.private_files() == []


async def test_a_loss_is_told_once(rig: EngineRig, engine: MountEngine) -> None:
    """Whatever else happens to the table, one loss is one call."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.kill_client("a")
    await rig.wait_for_change(lambda error: error is not None)
    await engine.apply(slate("b", rig.root / "b"))
    await engine.apply(unmount("b"))
    assert len(rig.changes) == 1
    await engine.apply(unmount("a"))
    assert rig.live.mounts == {}


async def test_an_unmount_by_somebody_else_is_told_and_healed(rig: EngineRig, engine: MountEngine) -> None:
    """A mount that vanished is known by the mount table."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.unmount_behind(rig.root / "a")
    error = await rig.wait_for_change(lambda error: error is not None)
    assert isinstance(error, NotMountedError | ExitedEarlyError)
    assert engine.presence(A) is Presence.ABSENT
    await engine.apply(slate("a", rig.root / "a"))
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))


async def test_a_covered_mount_is_told_and_told_again_when_it_shows(rig: EngineRig, engine: MountEngine) -> None:
    """A mount under a foreign one does not serve its path; once uncovered, it does."""
    await engine.apply(slate("a", rig.root / "a"))
    with rig.foreign_mount(rig.root / "a"):
        error = await rig.wait_for_change(lambda error: error is not None)
        assert isinstance(error, OccupiedError)
        assert engine.presence(A) is Presence.UNCERTAIN
    await rig.wait_for_change(lambda error: error is None)
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))


async def test_what_was_written_meanwhile_is_covered_by_a_repair(rig: EngineRig, engine: MountEngine) -> None:
    """A share comes back over files that were written while it was away, and they stay below."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.unmount_behind(rig.root / "a")
    await rig.wait_for_change(lambda error: error is not None)
    (rig.root / "a" / "written").touch()
    await engine.apply(slate("a", rig.root / "a"))
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))
    assert [path.name for path in (rig.root / "a").iterdir()] == ["written"]


async def test_a_dead_parent_takes_its_subtree_along(rig: EngineRig, engine: MountEngine) -> None:
    """Under a dead parent nothing is unmounted one by one; its children are told to be lost."""
    await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(slate("child", rig.root / "a" / "below"))
    rig.kill_client("a")
    await rig.wait_for_change(lambda error: error is not None)
    await engine.apply(slate("a", rig.root / "a"))
    async with asyncio.timeout(5):
        await rig.wait_for_change(lambda error: isinstance(error, NotMountedError | ExitedEarlyError))
        while ShareId("child") not in {share_id for share_id, _ in rig.changes}:
            await rig.wait_for_next_change()
    await engine.apply(slate("child", rig.root / "a" / "below"))
    assert engine.presence(ShareId("child")) is Presence.MOUNTED
    await engine.apply(unmount("child"))
    await engine.apply(unmount("a"))
    assert rig.private_files() == []


async def test_a_bind_of_a_share_is_lost_with_its_client(rig: EngineRig, engine: MountEngine) -> None:
    """It stands as it did, on a file system that nobody serves; no question is needed to know that."""
    await engine.apply(slate("a", rig.sources / "a"))
    share = bind("b", str(rig.root / "b"), source=str(rig.sources / "a"))
    await engine.apply(share)
    rig.kill_client("a")
    async with asyncio.timeout(5):
        while ShareId("b") not in {share_id for share_id, _ in rig.changes}:
            await rig.wait_for_next_change()
    assert len(rig.entries_at(rig.root / "b")) == 1
    assert engine.presence(ShareId("b")) is Presence.UNCERTAIN
    await engine.apply(unmount("b"))
    await engine.apply(slate("a", rig.sources / "a"))
    await engine.apply(share)
    assert (rig.root / "b" / "hello").read_text() == "hello\n"
    await engine.apply(unmount("b"))
    await engine.apply(unmount("a"))


async def test_a_client_that_waits_for_itself_is_freed(rig: EngineRig) -> None:
    """A client that not even SIGKILL ends, as it waits for its own answer, is freed by aborting its connection."""
    rig.limits = replace(rig.limits, signal_s=0.5)
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a", mode="trap"))
        pid = rig.pid_of("a")
        await engine.apply(unmount("a"))
    await wait_until_ended(pid)
    assert rig.live.mounts == {}


async def test_a_hung_client_is_known_by_a_probe_and_can_be_taken_away(rig: EngineRig, engine: MountEngine) -> None:
    """A client that is stopped answers nothing; its mount still goes, bounded, and so does it."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.stop_client("a")
    assert await engine.probe(A, 0.3) is Liveness.HUNG
    async with asyncio.timeout(20):
        await engine.apply(unmount("a"))
    assert rig.live.mounts == {}
    assert rig.private_files() == []
