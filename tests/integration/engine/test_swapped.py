"""A user of the guest who owns the directory above a mount point cannot send the mount anywhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest

from agent.drivers.kernel import VirtiofsDriver
from agent.mounts.engine import MountEngine
from agent.mounts.mountinfo import MountTable
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.shares import bind, unmount
from tests.parts.swapping import swapping
from weft.errors import MountError
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


async def test_a_fuse_mount_stands_where_it_was_checked_or_nowhere(
    rig: EngineRig, engine: MountEngine, victim: Path
) -> None:
    """Its client never sees the path: at no moment does the mount show at the link's target."""
    mount_point = rig.root / "home" / "a"
    with never_covered(victim, rig):
        async with swapping(mount_point, target=victim):
            for _ in range(CLIENT_TRIES):
                try:
                    await engine.apply(slate("a", mount_point))
                except MountError:
                    assert mounted_in(rig) == []
                else:
                    assert mounted_in(rig) in ([str(mount_point)], [str(mount_point.with_name("link"))])
                await engine.apply(unmount("a"))
    assert mounted_in(rig) == []
    assert rig.private_files() == []
