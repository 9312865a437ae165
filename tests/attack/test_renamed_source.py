"""A user of the guest who owns the directory that a share shows, and renames it: the share is known all the same."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.mounts import bring_up, places
from agent.mounts import engine as engine_module
from tests.attack.conftest import CountProbes
from tests.faults.rigged import give_rclone
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.shares import bind, unmount
from weft.errors import ErrorCode, MountError, NotMountedError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

NAMES = (b"other", b"with space", b"line\nend", b"back\\040slash", b"\xff\xfe", b"\x1b]52;c;aGk=\x07", b"n" * 255)
"""Whatever he may call it."""

STARTS = 12
NOBODY = 65534

RENAME_FOR_EVER = """
import os, sys
os.chdir(sys.argv[1])
os.setgid(65534); os.setuid(65534)
print("renaming", flush=True)
while True:
    os.rename("work", "other")
    os.rename("other", "work")
"""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings, with a source that its user owns."""
    async with engine_rig(tmp_path) as made:
        (made.sources / "home" / "work").mkdir(parents=True)
        for path in (made.sources / "home", made.sources / "home" / "work"):
            os.chown(path, NOBODY, NOBODY)
        yield made


def shared(rig: EngineRig) -> ShareMount:
    return bind("a", str(rig.root / "a"), source=str(rig.sources / "home" / "work"))


def rename_source(rig: EngineRig, name: bytes) -> None:
    home = os.fsencode(rig.sources / "home")
    os.rename(home + b"/work", home + b"/" + name)


@asynccontextmanager
async def renaming(home: Path) -> AsyncIterator[None]:
    """Rename what is shown there and back as fast as its owner can."""
    user = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RENAME_FOR_EVER, str(home), stdout=asyncio.subprocess.PIPE
    )
    assert user.stdout is not None
    try:
        await user.stdout.readline()
        yield
    finally:
        user.kill()
        await user.wait()


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_share_whose_source_was_renamed_is_unmounted(
    rig: EngineRig, name: bytes, count_probes: CountProbes
) -> None:
    """By the same agent, whether it has noticed or not."""
    async with rig.engine() as engine:
        await engine.apply(shared(rig))
        rename_source(rig, name)
        rig.table.refresh()
        await engine.apply(unmount("a"))
        assert rig.entries_at(rig.root / "a") == ()
        assert engine.mounted() == {}
    count_probes("shares unmounted after their source was renamed")


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_renamed_source_is_known_to_the_next_agent(
    rig: EngineRig, name: bytes, count_probes: CountProbes
) -> None:
    """Where the share is not wanted any more, nothing of it stays."""
    async with rig.engine() as engine:
        await engine.apply(shared(rig))
    rename_source(rig, name)
    async with rig.engine() as engine:
        report = await engine.adopt({})
        assert report.failed == {}
        await engine.apply(unmount("a"))
        assert rig.entries_at(rig.root / "a") == ()
    count_probes("shares unmounted after their source was renamed")


async def test_a_renamed_source_is_told_and_the_share_mounted_anew(
    rig: EngineRig, monkeypatch: pytest.MonkeyPatch, count_probes: CountProbes
) -> None:
    """The kernel tells nobody of a rename; what is shown after the repair is what the share names."""
    monkeypatch.setattr(engine_module, "_LOOK_EVERY_S", 0.02)
    async with rig.engine() as engine:
        await engine.apply(shared(rig))
        rename_source(rig, b"other")
        (rig.sources / "home" / "work").mkdir()
        (rig.sources / "home" / "work" / "new").touch()
        assert isinstance(await rig.wait_for_change(lambda error: error is not None), NotMountedError)
        await engine.apply(shared(rig))
        assert len(rig.entries_at(rig.root / "a")) == 1
        assert os.listdir(rig.root / "a") == ["new"]
        await engine.apply(unmount("a"))
    count_probes("shares unmounted after their source was renamed")


async def test_no_rename_keeps_a_share_mounted_that_is_called_unmounted(
    rig: EngineRig, count_probes: CountProbes
) -> None:
    """However often its source is renamed meanwhile."""
    async with rig.engine() as engine, renaming(rig.sources / "home"):
        for _ in range(STARTS):
            while ShareId("a") not in engine.mounted():
                try:
                    await engine.apply(shared(rig))
                except MountError:
                    continue  # it was away at that moment
            await engine.apply(unmount("a"))
            assert rig.entries_at(rig.root / "a") == ()
        count_probes("mounts and unmounts while the source is renamed", 2 * STARTS)


@pytest.mark.parametrize("is_link", [False, True])
@pytest.mark.parametrize("backend", ["bind", "rclone"])
async def test_a_source_that_goes_during_the_start_is_waited_for(
    rig: EngineRig, monkeypatch: pytest.MonkeyPatch, backend: str, is_link: bool, count_probes: CountProbes
) -> None:
    """Else its owner could have a share given up for good, by one rename at the right moment."""
    give_rclone(rig)
    work = rig.sources / "home" / "work"
    block = {"rclone": {"type": "local", "path": str(work), "config": {}}, "bind": {"source": str(work)}}[backend]
    share = parse_share({"id": "a", "backend": backend, "mount_point": str(rig.root / "a"), backend: block})

    def make_private(*arguments: object, **options: object) -> None:
        places.make_private(*arguments, **options)  # type: ignore[arg-type]
        rename_source(rig, b"other")
        if is_link:
            work.symlink_to("/etc")

    async with rig.engine() as engine:
        with monkeypatch.context() as patched:
            patched.setattr(bring_up, "places", SimpleNamespace(**{**vars(places), "make_private": make_private}))
            with pytest.raises(MountError) as caught:
                await engine.apply(share)
        assert caught.value.code is ErrorCode.NOT_FOUND
        assert not caught.value.is_permanent
        work.unlink(missing_ok=True)
        (rig.sources / "home" / "other").rename(work)
        await engine.apply(share)
        await engine.apply(unmount("a"))
    count_probes("sources that go during a start")


async def test_what_somebody_else_mounted_in_its_place_stays(rig: EngineRig, count_probes: CountProbes) -> None:
    """Also where the kernel gave it the same ids: it shows another directory."""
    other = rig.sources / "foreign"
    other.mkdir()
    async with rig.engine() as engine:
        await engine.apply(shared(rig))
        rig.unmount_behind(rig.root / "a")
        process = await asyncio.create_subprocess_exec("mount", "--bind", str(other), str(rig.root / "a"))
        assert await process.wait() == 0
        rig.table.refresh()
        await engine.apply(unmount("a"))
        assert [Path(entry.root).name for entry in rig.entries_at(rig.root / "a")] == ["foreign"]
    rig.unmount_behind(rig.root / "a")
    count_probes("foreign mounts left alone in a share's place")


@pytest.mark.parametrize("is_stopped", [False, True], ids=["dead", "hung"])
async def test_a_bind_of_what_answers_nobody_is_unmounted(
    rig: EngineRig, is_stopped: bool, count_probes: CountProbes
) -> None:
    """Its root cannot be looked at then, and it has the name that it had."""
    async with rig.engine() as engine:
        await engine.apply(slate("s", rig.sources / "s"))
        await engine.apply(bind("b", str(rig.root / "b"), source=str(rig.sources / "s" / "below")))
        (rig.stop_client if is_stopped else rig.kill_client)("s")
        await engine.apply(unmount("b"))
        assert rig.entries_at(rig.root / "b") == ()
        await engine.apply(unmount("s"))
    count_probes("shares unmounted after their source was renamed")
