"""The unmount ladder on real mounts: each rung is reached for its own reason, and nothing foreign is touched."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.mounts.facts import Holder
from agent.mounts.liveness import Liveness
from agent.mounts.policy import carries_our_source
from agent.mounts.table import MountTableWatcher, read_mount_table
from agent.mounts.unmount import Rung, detach_subtree, unmount
from agent.mounts.walker import UnmountMode, Walker
from tests.integration.mounts.conftest import FuseFactory, FuseMount, MountTmpfs, start_talking
from weft.errors import BusyError, ErrorCode, UnmountError

pytestmark = pytest.mark.integration

HOLDING = "import sys; held = open(sys.argv[1]); print(flush=True); sys.stdin.read()"


def start_holding(path: str) -> subprocess.Popen[bytes]:
    """Start a process that keeps the file or directory *path* open until it is killed."""
    process = start_talking(
        HOLDING if not Path(path).is_dir() else HOLDING.replace("open(", "__import__('os').chdir("), path
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def ladder(walker: Walker, table: MountTableWatcher) -> dict[str, Any]:
    """What every unmount here is given."""
    return {"walker": walker, "table": table, "is_ours": carries_our_source}


async def test_a_free_mount_goes_by_a_plain_unmount(ladder: dict[str, Any], fuse: FuseFactory) -> None:
    """The client ends by itself after it, with exit code 0."""
    mount = await fuse("share")
    result = await unmount(str(mount.path), **ladder)
    assert (result.rung, result.layers, result.holders) == (Rung.NORMAL, 1, ())
    assert await asyncio.to_thread(mount.client.wait, 10) == 0


async def test_twice_is_the_same_as_once(ladder: dict[str, Any], mount_tmpfs: MountTmpfs) -> None:
    """With nothing of ours there, nothing is done and that is said."""
    path = mount_tmpfs("a").mount_point
    await unmount(path, **ladder)
    assert (await unmount(path, **ladder)).rung is Rung.ABSENT


async def test_every_layer_of_ours_goes_and_a_foreign_one_below_stays(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """Stacked duplicates are all taken; what lay there before them is visible again."""
    foreign = mount_tmpfs("a", "stranger")
    mount_tmpfs("a")
    mount_tmpfs("a")
    assert (await unmount(foreign.mount_point, **ladder)).layers == 2
    assert table.refresh().at(foreign.mount_point) == (foreign,)


async def test_a_foreign_mount_over_ours_is_not_touched(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """Ours cannot be reached under it, which is an error that names it."""
    path = mount_tmpfs("a").mount_point
    mount_tmpfs("a", "stranger")
    with pytest.raises(UnmountError, match=r"a tmpfs mount of 'stranger' at .* covers it") as caught:
        await unmount(path, **ladder)
    assert caught.value.code is ErrorCode.OCCUPIED
    assert len(table.refresh().at(path)) == 2


async def test_a_mount_inside_a_covered_parent_is_not_mistaken_for_another(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """A child hidden by a later mount of its parent cannot be reached by its path, and nothing else is taken for it."""
    mount_tmpfs("p")
    child = mount_tmpfs("p/c")
    mount_tmpfs("p", "weft:again:00000000")
    with pytest.raises(UnmountError, match=r"'weft:again:00000000' at .*/p' covers it"):
        await unmount(child.mount_point, **ladder)
    assert len(table.refresh().at(child.mount_point)) == 1


class TellingWalker(Walker):
    """A walker that tells when it was asked for holders, which is when the wait begins."""

    def __init__(self) -> None:
        super().__init__()
        self.has_named = asyncio.Event()

    async def open_holders(self, path: str, *, deadline_s: float = 5) -> tuple[Holder, ...]:
        """Name them, and tell."""
        holders = await super().open_holders(path, deadline_s=deadline_s)
        self.has_named.set()
        return holders


@pytest.fixture
async def telling() -> AsyncIterator[TellingWalker]:
    """A walker that tells when the wait begins."""
    async with TellingWalker() as walker:
        yield walker


async def test_a_busy_mount_goes_as_soon_as_it_is_let_go(
    ladder: dict[str, Any], telling: TellingWalker, mount_tmpfs: MountTmpfs
) -> None:
    """The holder is named, and once it ends within the wait, a plain unmount does."""
    path = mount_tmpfs("a").mount_point
    holder = start_holding(path)
    try:
        going = asyncio.create_task(unmount(path, busy_wait_s=20, **(ladder | {"walker": telling})))
        async with asyncio.timeout(10):
            await telling.has_named.wait()
        assert not going.done()
    finally:
        holder.kill()
        holder.communicate()
    result = await going
    assert result.rung is Rung.WAITED
    assert [found.pid for found in result.holders] == [holder.pid]


async def test_a_mount_that_stays_busy_is_detached_and_its_holders_named(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """After the wait it leaves the tree; the holder keeps what it has open."""
    path = mount_tmpfs("a").mount_point
    holder = start_holding(path)
    try:
        result = await unmount(path, busy_wait_s=0.2, **ladder)
        assert result.rung is Rung.DETACHED_BUSY
        assert [(found.pid, found.path) for found in result.holders] == [(holder.pid, path)]
        assert 200 <= result.took_ms < 5000
        assert not table.refresh().at(path)
        assert holder.poll() is None
    finally:
        holder.kill()
        holder.communicate()


async def test_somebody_else_unmounting_ends_the_wait(
    ladder: dict[str, Any], telling: TellingWalker, mount_tmpfs: MountTmpfs
) -> None:
    """The mount table's event is enough: a long wait is not sat out."""
    path = mount_tmpfs("a").mount_point
    holder = start_holding(path)
    try:
        going = asyncio.create_task(unmount(path, busy_wait_s=60, **(ladder | {"walker": telling})))
        async with asyncio.timeout(10):
            await telling.has_named.wait()
            await telling.unmount(path, read_mount_table().at(path)[0].mount_id, UnmountMode.DETACH)
            assert (await going).rung is Rung.WAITED
    finally:
        holder.kill()
        holder.communicate()


async def test_a_dead_mount_that_is_held_is_detached_without_waiting(
    ladder: dict[str, Any], table: MountTableWatcher, fuse: FuseFactory
) -> None:
    """Nobody can do anything on it any more, so holders get no time."""
    mount = await fuse("share")
    holder = start_holding(str(mount.path))
    try:
        mount.kill()
        async with asyncio.timeout(10):
            assert (await unmount(str(mount.path), busy_wait_s=60, **ladder)).rung is Rung.DETACHED_DEAD
        assert not table.refresh().at(str(mount.path))
    finally:
        holder.kill()
        holder.communicate()


async def test_a_dead_mount_goes(ladder: dict[str, Any], table: MountTableWatcher, fuse: FuseFactory) -> None:
    """Held or not, a mount without a client leaves the tree at once."""
    mount = await fuse("share")
    mount.kill()
    assert (await unmount(str(mount.path), **ladder)).layers == 1
    assert not table.refresh().at(str(mount.path))


async def test_a_hung_mount_that_nobody_uses_goes_at_once(
    ladder: dict[str, Any], table: MountTableWatcher, fuse: FuseFactory
) -> None:
    """The kernel needs no answer from the client to take an idle mount away."""
    mount = await fuse("share")
    mount.stop()
    async with asyncio.timeout(4):
        assert (await unmount(str(mount.path), step_deadline_s=2, **ladder)).layers == 1
    assert not table.refresh().at(str(mount.path))


async def test_a_hung_mount_with_a_blocked_caller_is_detached_at_the_step_deadline(
    ladder: dict[str, Any], table: MountTableWatcher, silent: FuseMount
) -> None:
    """A caller that waits for the client makes it busy; its silence, not its holders, decides."""
    walker: Walker = ladder["walker"]
    assert await walker.probe(str(silent.path), deadline_s=0.1) is Liveness.HUNG
    result = await unmount(str(silent.path), step_deadline_s=0.3, busy_wait_s=60, **ladder)
    assert result.rung is Rung.DETACHED_HUNG
    assert not table.refresh().at(str(silent.path))


async def test_a_mount_on_it_is_never_taken_along(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """With another mount inside, ours or not, a lazy detach is refused, naming it."""
    path = mount_tmpfs("p").mount_point
    child = mount_tmpfs("p/c", "stranger")
    with pytest.raises(BusyError, match="other mounts lie on it") as caught:
        await unmount(path, busy_wait_s=0.1, **ladder)
    assert caught.value.detail == child.mount_point
    assert len(table.refresh().below(str(Path(path).parent))) == 2


async def test_under_a_hung_parent_the_subtree_goes_in_one_call(
    ladder: dict[str, Any], table: MountTableWatcher, fuse: FuseFactory
) -> None:
    """The children cannot be reached any more; detaching the parent takes them with it, quickly."""
    parent = await fuse("parent")
    child = await fuse("parent/child")
    parent.stop()
    async with asyncio.timeout(5):
        result = await detach_subtree(str(parent.path), **ladder)
    assert (result.rung, result.layers) == (Rung.DETACHED_HUNG, 1)
    assert not table.refresh().at(str(parent.path))
    assert not table.refresh().at(str(child.path))


async def test_a_foreign_mount_in_a_subtree_keeps_it(
    ladder: dict[str, Any], table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """Somebody else's mount inside is named, and everything stays."""
    path = mount_tmpfs("p").mount_point
    mount_tmpfs("p/ours")
    foreign = mount_tmpfs("p/theirs", "stranger")
    with pytest.raises(BusyError) as caught:
        await detach_subtree(path, **ladder)
    assert caught.value.detail == foreign.mount_point
    assert len(table.refresh().below(str(Path(path).parent))) == 3


async def test_a_program_that_mounts_again_and_again_is_a_limited_fight(
    table: MountTableWatcher, mount_tmpfs: MountTmpfs
) -> None:
    """Layers that come as fast as they go end in an error, not in a loop."""
    path = mount_tmpfs("a").mount_point

    class Fighting(Walker):
        async def unmount(self, path: str, mode: UnmountMode = UnmountMode.NORMAL, *, deadline_s: float = 5) -> None:
            await super().unmount(path, mode, deadline_s=deadline_s)
            mount_tmpfs("a")

    async with Fighting() as walker:
        with pytest.raises(UnmountError, match="mounted again 32 times"):
            await unmount(path, walker=walker, table=table, is_ours=carries_our_source)
