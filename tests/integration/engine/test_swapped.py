"""A user of the guest who owns the directory above a mount point cannot send the mount anywhere else."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from agent.drivers.base import MountCommand, MountContext
from agent.drivers.kernel import VirtiofsDriver
from agent.mounts.engine import MountEngine
from agent.mounts.mountinfo import MountTable
from agent.mounts.ownership import source_of
from agent.mounts.strays import Strays
from agent.mounts.table import read_mount_table
from tests.parts.engine_rig import EngineRig, SlateDriver, slate
from tests.parts.shares import bind, unmount
from tests.parts.swapping import swapping
from weft.errors import DeniedError, ErrorCode, MountError
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

TRIES = 25
"""Of mount(8) by path, about every third went to the link's target."""

CLIENT_TRIES = 25
"""Each starts a client, which takes a while."""


class ScratchDriver(VirtiofsDriver):
    """What the kernel mounts by a tag, without a host that offers one."""

    mount_type = "tmpfs"
    fs_types: ClassVar[frozenset[str]] = frozenset({"tmpfs"})


class MisledDriver(SlateDriver):
    """Its client mounts at *elsewhere*, as one does whose mount point becomes a link just before it looks."""

    def __init__(self, elsewhere: Path) -> None:
        super().__init__()
        self.elsewhere = elsewhere

    def build(self, context: MountContext) -> MountCommand:
        """Have the client told the other place."""
        command = super().build(context)
        argv = tuple(str(self.elsewhere) if word == context.share.mount_point else word for word in command.argv)
        return replace(command, argv=argv)


@pytest.fixture
async def engine(rig: EngineRig) -> AsyncIterator[MountEngine]:
    """An engine with a backend that needs no host."""
    rig.more_drivers = {"virtiofs": ScratchDriver()}
    async with rig.engine() as started:
        yield started


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory that nothing may be mounted on."""
    directory = tmp_path / "victim"
    directory.mkdir()
    return directory


@contextmanager
def never_covered(victim: Path, rig: EngineRig) -> Iterator[None]:
    """See every mount table of the test, and find nothing on *victim* in any."""
    seen: list[object] = []

    def look(table: MountTable) -> None:
        seen.extend(table.at(str(victim)))

    forget = rig.table.subscribe(look)
    yield
    forget()
    look(rig.table.refresh())
    assert seen == []


@contextmanager
def shown_again(mount: Path, directory: Path) -> Iterator[None]:
    """Bind *mount* to *directory*, as an administrator may."""
    directory.mkdir()
    subprocess.run(["mount", "--bind", mount, directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def mounted_in(rig: EngineRig) -> list[str]:
    """Name everything that is mounted in the test's own directory."""
    return [entry.mount_point for entry in rig.table.refresh().below(str(rig.directory))]


def a_bind(rig: EngineRig, mount_point: Path) -> ShareMount:
    (rig.sources / "s").mkdir(exist_ok=True)
    return bind("a", str(mount_point), source=str(rig.sources / "s"))


def a_tag(rig: EngineRig, mount_point: Path) -> ShareMount:
    return parse_share({"id": "a", "backend": "virtiofs", "mount_point": str(mount_point), "virtiofs": {"tag": "t"}})


@pytest.mark.parametrize("make", [a_bind, a_tag], ids=["bind", "tag"])
async def test_a_kernel_mount_stands_where_it_was_checked_or_nowhere(
    rig: EngineRig, engine: MountEngine, victim: Path, make: type
) -> None:
    """However fast the directory is swapped for a link; and when he tires of it, the share is mounted."""
    mount_point = rig.root / "home" / "a"
    share = make(rig, mount_point)
    with never_covered(victim, rig):
        async with swapping(mount_point, target=victim):
            for _ in range(TRIES):
                try:
                    await engine.apply(share)
                except MountError:
                    assert mounted_in(rig) == []
                else:
                    # A rename that was under way when its directory was mounted on may still come to its end.
                    assert mounted_in(rig) in ([str(mount_point)], [str(mount_point.with_name("link"))])
                await engine.apply(unmount("a"))
    assert mounted_in(rig) == []


async def test_a_client_that_mounts_elsewhere_is_undone_at_once(rig: EngineRig, victim: Path) -> None:
    """Long before its deadline, and its client ends; the operator reads what happened, and it is tried again."""
    rig.driver = MisledDriver(victim)
    async with asyncio.timeout(rig.driver.deadline_s / 2):
        async with rig.engine() as engine:
            with pytest.raises(DeniedError, match="the mount point was replaced while it was being mounted") as caught:
                await engine.apply(slate("a", rig.root / "a"))
    assert (caught.value.code, caught.value.is_permanent) == (ErrorCode.DENIED, False)
    assert read_mount_table().at(str(victim)) == ()
    assert mounted_in(rig) == []
    assert rig.private_files() == []


async def test_mounts_of_others_with_the_same_source_are_left_alone(rig: EngineRig, victim: Path) -> None:
    """What stood there before the start, and a bind of the mount that stands in its place, are not its strays."""
    share = slate("a", rig.root / "a")
    with rig.foreign_mount(victim, source=source_of(share)):
        async with rig.engine() as engine:
            await engine.apply(share)
            with shown_again(rig.root / "a", rig.sources / "copy"):
                table = rig.table.refresh()
                assert len(table.with_source(source_of(share))) == 3
                command = MountCommand(argv=(), fs_types=frozenset({"fuse.slate"}), source=source_of(share))
                assert Strays(command, str(rig.root / "a"), before=MountTable(())).find(table) == ()
            await engine.apply(unmount("a"))
        assert len(read_mount_table().at(str(victim))) == 1


async def test_a_fuse_mount_stands_where_it_was_checked_or_nowhere(
    rig: EngineRig, engine: MountEngine, victim: Path
) -> None:
    """Its client looks the path up itself, so the mount may show elsewhere for a moment; it never stays."""
    mount_point = rig.root / "home" / "a"
    async with swapping(mount_point, target=victim):
        for _ in range(CLIENT_TRIES):
            try:
                await engine.apply(slate("a", mount_point))
            except MountError:
                assert mounted_in(rig) == []
            else:
                assert mounted_in(rig) in ([str(mount_point)], [str(mount_point.with_name("link"))])
            assert read_mount_table().at(str(victim)) == ()
            await engine.apply(unmount("a"))
    assert mounted_in(rig) == []
    assert rig.private_files() == []
