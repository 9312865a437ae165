"""Changing and taking away shares that stand: what is touched, what is kept, and what is waited for."""

from __future__ import annotations

import asyncio

import pytest

from agent.actual import Presence, Stage
from agent.mounts.engine import MountEngine
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.shares import bind, unmount
from weft.errors import BusyError, ErrorCode, MountError, UnmountError
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration

A = ShareId("a")


async def test_the_same_share_again_touches_nothing(rig: EngineRig, engine: MountEngine) -> None:
    """Asking twice is asking once: same client, same mount."""
    await engine.apply(slate("a", rig.root / "a"))
    before = engine.mounted()[A]
    await engine.apply(slate("a", rig.root / "a"))
    assert engine.mounted()[A] is before
    await engine.apply(unmount("a"))


async def test_a_field_that_no_mount_depends_on_is_only_remembered(rig: EngineRig, engine: MountEngine) -> None:
    """A new priority remounts nothing."""
    await engine.apply(slate("a", rig.root / "a"))
    before = engine.mounted()[A]
    await engine.apply(slate("a", rig.root / "a", priority=7))
    after = engine.mounted()[A]
    assert (after.mount_id, after.process, after.share.priority) == (before.mount_id, before.process, 7)
    await engine.apply(unmount("a"))


async def test_a_changed_share_is_replaced(rig: EngineRig, engine: MountEngine) -> None:
    """Another spec means another client, at the same place, and one mount only."""
    await engine.apply(slate("a", rig.root / "a"))
    before = engine.mounted()[A]
    await engine.apply(slate("a", rig.root / "a", page="2"))
    after = engine.mounted()[A]
    assert after.process != before.process
    assert [entry.source for entry in rig.entries_at(rig.root / "a")] == [after.source]
    assert rig.changes == []
    await engine.apply(unmount("a"))
    assert rig.private_files() == []


async def test_a_share_with_an_open_file_is_replaced(rig: EngineRig, engine: MountEngine) -> None:
    """Somebody who reads the old one delays the change, bounded, and does not prevent it."""
    await engine.apply(slate("a", rig.root / "a"))
    with rig.held_open(rig.root / "a" / "hello"):
        await engine.apply(slate("a", rig.root / "a", page="2"))
        assert engine.presence(A) is Presence.MOUNTED
        assert len(rig.entries_at(rig.root / "a")) == 1
    await engine.apply(unmount("a"))


async def test_a_share_moves_to_another_place(rig: EngineRig, engine: MountEngine) -> None:
    """A new mount point leaves nothing at the old one."""
    await engine.apply(slate("a", rig.root / "old"))
    await engine.apply(slate("a", rig.root / "new"))
    assert [path.name for path in rig.root.iterdir()] == ["new"]
    await engine.apply(unmount("a"))
    assert list(rig.root.iterdir()) == []


async def test_a_refresh_reaches_the_running_client(rig: EngineRig, engine: MountEngine) -> None:
    """A share that differs only in refresh keeps its client, which drops what it cached."""
    await engine.apply(slate("a", rig.root / "a"))
    before = engine.mounted()[A]
    await engine.apply(slate("a", rig.root / "a", refresh=1))
    after = engine.mounted()[A]
    assert (after.process, after.share.refresh, rig.driver.refreshed) == (before.process, 1, ["a"])
    assert after.digest != before.digest
    await engine.apply(unmount("a"))


async def test_a_rotated_secret_is_taken_live(rig: EngineRig, engine: MountEngine) -> None:
    """What a driver can change in place is not remounted."""
    await engine.apply(slate("a", rig.root / "a", secret="first-secret"))
    before = engine.mounted()[A]
    await engine.apply(slate("a", rig.root / "a", secret="second-secret"))
    assert engine.mounted()[A].process == before.process
    assert rig.driver.live_changes == [("first-secret", "second-secret")]
    await engine.apply(unmount("a"))


async def test_a_refused_change_keeps_the_old_mount(rig: EngineRig, engine: MountEngine) -> None:
    """What is known to fail beforehand does not cost the mount that works, and the error says so."""
    await engine.apply(slate("a", rig.root / "a"))
    before = engine.mounted()[A]
    rig.driver.refusal = MountError("cannot log in", code=ErrorCode.AUTH)
    with pytest.raises(MountError, match="log in") as caught:
        await engine.apply(slate("a", rig.root / "a", page="2"))
    assert caught.value.keeps_old
    assert engine.mounted()[A] == before
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))


async def test_a_failed_change_is_remembered_as_down(rig: EngineRig, engine: MountEngine) -> None:
    """When the new version does not come up, the next try may cover what was written meanwhile."""
    await engine.apply(slate("a", rig.root / "a"))
    with pytest.raises(MountError):
        await engine.apply(slate("a", rig.root / "a", mode="exit"))
    assert (engine.mounted()[A].stage, engine.presence(A)) == (Stage.DOWN, Presence.ABSENT)
    (rig.root / "a").mkdir()
    (rig.root / "a" / "written").touch()
    await engine.apply(slate("a", rig.root / "a"))
    assert engine.presence(A) is Presence.MOUNTED
    await engine.apply(unmount("a"))
    assert [path.name for path in (rig.root / "a").iterdir()] == ["written"]


async def test_an_unmount_waits_for_uploads(rig: EngineRig, engine: MountEngine) -> None:
    """The mount goes only when its client has stored what it accepted."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.driver.pending = [0, 1, 2]
    await engine.apply(unmount("a"))
    assert rig.driver.pending == []
    assert rig.live.mounts == {}


async def test_an_unmount_waits_for_uploads_no_longer_than_it_may(rig: EngineRig, engine: MountEngine) -> None:
    """Uploads that never end delay the unmount, bounded, and keep the cache."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.driver.pending = [5] * 1000
    async with asyncio.timeout(rig.limits.drain_s + 3):
        await engine.apply(unmount("a"))
    assert engine.mounted() == {}
    assert (rig.directory / "state" / "cache").exists()
    assert any((rig.directory / "state" / "cache").iterdir())


async def test_the_cache_of_a_share_that_is_gone_is_removed(rig: EngineRig, engine: MountEngine) -> None:
    """Nothing of a share that was taken away stays on the guest's disk."""
    await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(unmount("a"))
    assert list((rig.directory / "state" / "cache").iterdir()) == []


async def test_a_busy_mount_is_detached(rig: EngineRig, engine: MountEngine) -> None:
    """Holders are waited for, bounded; then the place is free and the client is gone."""
    await engine.apply(slate("a", rig.root / "a"))
    with rig.held_open(rig.root / "a" / "hello"):
        await engine.apply(unmount("a"))
        assert rig.entries_at(rig.root / "a") == ()
        assert rig.live.mounts == {}


async def test_a_parent_does_not_go_under_its_child(rig: EngineRig, engine: MountEngine) -> None:
    """Mounts on a mount go first; the error names them."""
    await engine.apply(slate("a", rig.root / "a"))
    await engine.apply(slate("child", rig.root / "a" / "below"))
    assert engine.mounted()[ShareId("child")].made_directories == ()
    with pytest.raises(BusyError, match="below"):
        await engine.apply(unmount("a"))
    assert engine.presence(ShareId("child")) is Presence.MOUNTED
    await engine.apply(unmount("child"))
    await engine.apply(unmount("a"))
    assert rig.live.mounts == {}


async def test_a_mount_that_is_covered_is_left_alone(rig: EngineRig, engine: MountEngine) -> None:
    """What somebody else mounted over a share is not touched, and the share cannot go before it."""
    await engine.apply(slate("a", rig.root / "a"))
    with rig.foreign_mount(rig.root / "a"):
        with pytest.raises((UnmountError, BusyError)):
            await engine.apply(unmount("a"))
        assert [entry.source for entry in rig.entries_at(rig.root / "a")][-1] == "foreign"
    await engine.apply(unmount("a"))
    assert rig.live.mounts == {}


async def test_unmounting_what_is_not_there_is_done(rig: EngineRig, engine: MountEngine) -> None:
    """An unmount of an unknown id succeeds."""
    await engine.apply(unmount("a"))
    assert rig.live.mounts == {}


async def test_changes_of_one_share_do_not_overlap(rig: EngineRig, engine: MountEngine) -> None:
    """Whatever is asked at once, one client and one mount are left."""
    async with asyncio.TaskGroup() as group:
        for page in "12345":
            group.create_task(engine.apply(slate("a", rig.root / "a", page=page)))
    assert len(rig.entries_at(rig.root / "a")) == 1
    await engine.apply(unmount("a"))
    assert rig.private_files() == []


async def test_two_shares_at_one_place_do_not_stack(rig: EngineRig, engine: MountEngine) -> None:
    """Of two shares asked for at one mount point, one is mounted and the other is told."""
    results = await asyncio.gather(
        engine.apply(slate("a", rig.root / "same")),
        engine.apply(slate("b", rig.root / "same")),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "OccupiedError"]
    assert len(rig.entries_at(rig.root / "same")) == 1
    await engine.apply(unmount("a"))
    await engine.apply(unmount("b"))


async def test_a_bind_of_a_share_is_not_taken_for_it(rig: EngineRig, engine: MountEngine) -> None:
    """A bind shows the source of the share whose directory it shows; each is still known by itself."""
    inside = rig.sources / "inside"
    await engine.apply(slate("a", inside))
    await engine.apply(bind("b", str(rig.root / "b"), source=str(inside / "below")))
    rig.unmount_behind(rig.root / "b")
    await rig.wait_for_change(lambda error: error is not None)
    assert (engine.presence(A), engine.presence(ShareId("b"))) == (Presence.MOUNTED, Presence.ABSENT)
    await engine.apply(unmount("b"))
    await engine.apply(unmount("a"))
    assert rig.live.mounts == {}
