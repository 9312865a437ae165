"""Mounts that stop answering: told in time, left to their client while that can help, ended where it cannot."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.actual import Presence
from agent.mounts.engine import MountEngine
from agent.mounts.liveness_watch import Rhythm
from agent.mounts.places import OUTPUT_NAME, private_dir
from agent.mounts.unmount import abort_connection
from agent.mounts.walker import Walker
from tests.parts.engine_rig import WAIT_S, EngineRig, slate
from tests.parts.shares import unmount
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration

A = ShareId("a")
QUICK = Rhythm(interval_s=0.05, deadline_s=0.3, read_every=3, read_deadline_s=0.5)


@pytest.fixture
async def engine(rig: EngineRig) -> AsyncIterator[MountEngine]:
    """An engine that asks often."""
    rig.rhythm = QUICK
    async with rig.engine() as started:
        yield started


def is_standing(error: MountError | None) -> bool:
    return error is not None and error.keeps_old


def is_loss(error: MountError | None) -> bool:
    return error is not None and not error.keeps_old


def silence(rig: EngineRig, share_id: str = "a") -> Path:
    """Have the backend of a share's client go away, until the marker is removed."""
    return rig.mark(share_id, "silent")


async def test_a_hang_is_told_and_so_is_its_end(rig: EngineRig, engine: MountEngine) -> None:
    """The client, the mount and whoever waits for it are left alone: the backend may return."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    pid = rig.pid_of("a")
    marker = silence(rig)
    error = await rig.wait_for_change(is_standing)
    assert error is not None
    assert error.code is ErrorCode.HUNG
    assert "since" in error.message
    assert engine.presence(A) is Presence.MOUNTED
    marker.unlink()
    await rig.wait_for_change(lambda error: error is None)
    assert rig.pid_of("a") == pid
    assert not any(is_loss(error) for _, error in rig.changes)
    await engine.apply(unmount("a"))


async def test_a_share_whose_output_cannot_be_cut_is_still_watched(rig: EngineRig, engine: MountEngine) -> None:
    """What becomes of a client's output file says nothing of its mount."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    output = private_dir(rig.directory / "run", A) / OUTPUT_NAME
    output.unlink()
    output.mkdir()
    marker = silence(rig)
    assert await rig.wait_for_change(is_standing)
    marker.unlink()
    await rig.wait_for_change(lambda error: error is None)
    await engine.apply(unmount("a"))


async def test_a_hung_share_keeps_one_helper_and_no_more(rig: EngineRig, engine: MountEngine) -> None:
    """However long it lasts, and it delays no question to another share."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    await engine.apply(slate("b", rig.root / "b", mode="moody"))
    marker = silence(rig)
    async with asyncio.timeout(WAIT_S):
        while len([error for share_id, error in rig.changes if share_id == A and is_standing(error)]) < 8:
            await rig.wait_for_next_change()
    assert len(children_of(rig.walker)) <= 2
    assert rig.walker.stuck == 0
    other = silence(rig, "b")
    async with asyncio.timeout(WAIT_S):
        while not any(share_id == "b" for share_id, _ in rig.changes):
            await rig.wait_for_next_change()
    other.unlink()
    marker.unlink()
    await engine.apply(unmount("a"))
    await engine.apply(unmount("b"))


def children_of(walker: Walker) -> list[str]:
    return Path(f"/proc/{walker.pid}/task/{walker.pid}/children").read_text().split()


async def test_a_stopped_client_is_aborted_and_replaced(rig: EngineRig, engine: MountEngine) -> None:
    """Whoever waited for it gets an error, the next apply mounts again, and all that takes no deadline."""
    share = slate("a", rig.root / "a")
    await engine.apply(share)
    pid = rig.pid_of("a")
    rig.stop_client("a")
    waiting = asyncio.get_running_loop().run_in_executor(None, os.statvfs, rig.root / "a")
    error = await rig.wait_for_change(is_loss)
    assert error is not None
    assert f"pid {pid}" in error.message
    with pytest.raises(OSError, match=r"connection abort|not connected"):
        await waiting
    assert engine.presence(A) is Presence.UNCERTAIN
    async with asyncio.timeout(3):
        await engine.apply(share)
    assert rig.pid_of("a") != pid
    assert (rig.root / "a" / "hello").read_text() == "hello\n"
    assert len(rig.entries_at(rig.root / "a")) == 1
    await engine.apply(unmount("a"))


async def test_a_stopped_client_is_found_while_its_root_is_read(rig: EngineRig) -> None:
    """A read may take long, since a client may list a whole bucket first; one that is stopped lists nothing."""
    rig.rhythm = Rhythm(interval_s=0.05, deadline_s=0.2, read_every=1, read_deadline_s=60)
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a"))
        rig.stop_client("a")
        async with asyncio.timeout(5):
            assert await rig.wait_for_change(is_loss)
        await engine.apply(unmount("a"))


async def test_a_client_that_answers_nothing_at_all_is_aborted(rig: EngineRig, engine: MountEngine) -> None:
    """Neither its mount nor, several times, its control socket."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    marker = silence(rig)
    rig.driver.is_deaf = True
    error = await rig.wait_for_change(is_loss)
    assert error is not None
    assert "control socket" in error.message
    marker.unlink()
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))


async def test_a_hang_is_ended_after_as_long_as_the_guest_waits(rig: EngineRig) -> None:
    """Only where the guest's configuration says so."""
    rig.rhythm = Rhythm(interval_s=0.05, deadline_s=0.2, abort_after_s=0.3)
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a", mode="moody"))
        marker = silence(rig)
        error = await rig.wait_for_change(is_loss)
        assert error is not None
        assert "abort_after_s" in error.message
        marker.unlink()
        await engine.apply(unmount("a"))


async def test_an_aborted_connection_is_a_loss(rig: EngineRig, engine: MountEngine) -> None:
    """The client may live on and the mount table still show it: nobody gets an answer, so it is repaired."""
    share = slate("a", rig.root / "a", mode="stubborn")
    await engine.apply(share)
    (entry,) = rig.entries_at(rig.root / "a")
    await abort_connection(entry, walker=rig.walker)
    await rig.wait_for_change(is_loss)
    await engine.apply(share)
    assert (rig.root / "a" / "hello").read_text() == "hello\n"
    await engine.apply(unmount("a"))


async def test_a_root_that_cannot_be_read_is_told_with_its_reason(rig: EngineRig, engine: MountEngine) -> None:
    """Keys that expire leave a mount that looks fine; it is not remounted, and its recovery is noticed."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    pid = rig.pid_of("a")
    marker = rig.mark("a", "refused")
    error = await rig.wait_for_change(is_standing)
    assert error is not None
    assert error.code is ErrorCode.AUTH
    assert "InvalidAccessKeyId" in error.detail
    assert engine.presence(A) is Presence.MOUNTED
    marker.unlink()
    await rig.wait_for_change(lambda error: error is None)
    assert rig.pid_of("a") == pid
    await engine.apply(unmount("a"))


async def test_a_stopped_client_is_taken_away_at_once(rig: EngineRig, engine: MountEngine) -> None:
    """Nothing is asked of it, and no signal waited for that it cannot take."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.stop_client("a")
    async with asyncio.timeout(2):
        await engine.apply(unmount("a"))
    assert rig.live.mounts == {}
    assert rig.private_files() == []


async def test_a_hung_share_is_taken_away_in_bounded_time(rig: EngineRig, engine: MountEngine) -> None:
    """Processes that wait for it are freed by an abort, so that neither they nor the client stay behind."""
    await engine.apply(slate("a", rig.root / "a", mode="moody"))
    marker = silence(rig)
    await rig.wait_for_change(is_standing)
    waiting = asyncio.get_running_loop().run_in_executor(None, os.statvfs, rig.root / "a")
    async with asyncio.timeout(5):
        await engine.apply(unmount("a"))
    with pytest.raises(OSError, match=r"connection abort|not connected"):
        await waiting
    marker.unlink()
    assert rig.live.mounts == {}
