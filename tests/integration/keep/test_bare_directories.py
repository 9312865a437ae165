"""What happens to the directory of a share while the share is away."""

from __future__ import annotations

import subprocess

import pytest

from agent.mounts.engine import MountEngine
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.shares import unmount
from weft.errors import OccupiedError

pytestmark = pytest.mark.integration


async def test_what_a_repair_hides_is_named(rig: EngineRig, engine: MountEngine) -> None:
    """Having the share back matters more, but nobody may look for those files in vain."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.unmount_behind(rig.root / "a")
    await rig.wait_for_change(lambda error: error is not None)
    (rig.root / "a" / "written").touch()
    await engine.apply(slate("a", rig.root / "a"))
    remark = rig.remarks[-1][1]
    assert isinstance(remark, OccupiedError)
    assert "'written'" in remark.message
    assert remark.detail == "written"
    await engine.apply(unmount("a"))
    assert [path.name for path in (rig.root / "a").iterdir()] == ["written"]


async def test_a_repair_that_hides_nothing_says_nothing(rig: EngineRig, engine: MountEngine) -> None:
    """The usual case; directories and mounts of ours below it do not count."""
    await engine.apply(slate("a", rig.root / "a"))
    rig.unmount_behind(rig.root / "a")
    await rig.wait_for_change(lambda error: error is not None)
    await engine.apply(slate("a", rig.root / "a"))
    assert rig.remarks == []
    await engine.apply(unmount("a"))


async def test_a_shielded_directory_takes_no_files_while_the_share_is_away(rig: EngineRig) -> None:
    """Programs of ordinary users see an error instead of writing to the guest's own disk; the share itself is open."""
    rig.is_shielding = True
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a"))
        assert rig.root.joinpath("a").stat().st_mode & 0o777 == 0o755
        rig.unmount_behind(rig.root / "a")
        await rig.wait_for_change(lambda error: error is not None)
        assert rig.root.joinpath("a").stat().st_mode & 0o777 == 0
        assert touch_as_nobody(rig) != 0
        await engine.apply(slate("a", rig.root / "a"))
        assert (rig.root / "a" / "hello").read_text() == "hello\n"
        await engine.apply(unmount("a"))
    assert list(rig.root.iterdir()) == []


async def test_a_directory_that_was_there_before_is_never_shielded(rig: EngineRig) -> None:
    """Its permissions are its owner's."""
    rig.is_shielding = True
    (rig.root / "a").mkdir(mode=0o750)
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a"))
        await engine.apply(unmount("a"))
    assert (rig.root / "a").stat().st_mode & 0o777 == 0o750


def touch_as_nobody(rig: EngineRig) -> int:
    command = ["/usr/bin/touch", str(rig.root / "a" / "new")]
    return subprocess.run(command, user=65534, group=65534, extra_groups=[], capture_output=True).returncode
