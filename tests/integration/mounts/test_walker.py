"""The walker on living, dead, hung and silent mounts: it always answers, and nothing keeps the agent from its end."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from agent.mounts.liveness import Liveness
from agent.mounts.table import MountTableWatcher
from agent.mounts.unmount import abort_connection
from agent.mounts.walker import Walker
from tests.integration.mounts.conftest import FuseFactory, FuseMount, MountTmpfs, start_talking
from tests.parts.processes import wait_until_ended
from weft.errors import HungError, MountError, NotMountedError, PathError

pytestmark = pytest.mark.integration

AGENT = """
import asyncio, sys
from agent.mounts.walker import Walker

async def main() -> None:
    async with Walker() as walker:
        probing = asyncio.create_task(walker.probe(sys.argv[1], deadline_s=600))
        await walker.probe("/", deadline_s=10)
        print(walker.pid, flush=True)
        await probing

asyncio.run(main())
"""


async def until_none_is_stuck(walker: Walker) -> None:
    async with asyncio.timeout(10):
        while walker.stuck:
            await walker.probe("/", deadline_s=5)


async def test_a_living_mount_is_alive(walker: Walker, fuse: FuseFactory) -> None:
    """A client that answers is alive, and its root can be read."""
    mount = await fuse("share")
    assert await walker.probe(str(mount.path), deadline_s=5) is Liveness.ALIVE
    assert await walker.read_root(str(mount.path), deadline_s=5) == ["lesson.txt"]


async def test_a_mount_whose_client_was_killed_is_dead(walker: Walker, fuse: FuseFactory) -> None:
    """ENOTCONN is an answer of a probe, and an error with its errno of everything else."""
    mount = await fuse("share")
    mount.kill()
    assert await walker.probe(str(mount.path), deadline_s=5) is Liveness.DEAD
    with pytest.raises(PathError, match="transport endpoint is not connected") as caught:
        await walker.read_root(str(mount.path), deadline_s=5)
    assert caught.value.errno == 107


async def test_a_hung_mount_is_hung_at_the_deadline_and_the_loop_goes_on(walker: Walker, fuse: FuseFactory) -> None:
    """While one probe waits, others are answered; at its deadline it ends, and its helper is gone."""
    mount = await fuse("share")
    mount.stop()
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    hung = asyncio.create_task(walker.probe(str(mount.path), deadline_s=0.4))
    for _ in range(5):
        assert await walker.probe("/", deadline_s=5) is Liveness.ALIVE
    assert not hung.done()
    assert await hung is Liveness.HUNG
    assert 0.4 <= loop.time() - started_s < 2
    await until_none_is_stuck(walker)


async def test_a_call_on_a_hung_mount_says_that_it_hung(walker: Walker, fuse: FuseFactory) -> None:
    """What is no probe fails with a typed error naming verb, path and deadline."""
    mount = await fuse("share")
    mount.stop()
    with pytest.raises(HungError, match=r"cannot read '.*/share': no answer within 0.1 s"):
        await walker.read_root(str(mount.path), deadline_s=0.1)


async def test_a_helper_that_cannot_be_killed_is_counted_until_it_ends(walker: Walker, silent: FuseMount) -> None:
    """In uninterruptible sleep it outlives its kill; when the client goes, it goes, and the count falls."""
    assert await walker.probe(str(silent.path), deadline_s=0.2) is Liveness.HUNG
    assert await walker.probe("/", deadline_s=5) is Liveness.ALIVE
    assert walker.stuck == 1
    silent.kill()
    await until_none_is_stuck(walker)


async def test_a_stuck_probe_keeps_no_place_from_others(silent: FuseMount) -> None:
    """Nor is the same asked again: it costs one helper however often it is probed, and is known to hang at once."""
    async with Walker(max_probes=1) as walker:
        assert await walker.probe(str(silent.path), deadline_s=0.1, mount_id=7) is Liveness.HUNG
        assert await walker.probe("/", deadline_s=10) is Liveness.ALIVE
        assert await walker.probe(str(silent.path), deadline_s=0.1, mount_id=7) is Liveness.HUNG
        assert walker.stuck == 1
        silent.kill()
        await until_none_is_stuck(walker)
        assert await walker.probe(str(silent.path), deadline_s=10, mount_id=7) is Liveness.DEAD


async def test_a_helper_that_is_stuck_says_nothing_about_another_mount_at_its_place(
    silent: FuseMount, mount_tmpfs: MountTmpfs
) -> None:
    """What stands there now was never asked."""
    async with Walker() as walker:
        assert await walker.probe(str(silent.path), deadline_s=0.1, mount_id=7) is Liveness.HUNG
        entry = mount_tmpfs(silent.path.name)
        assert await walker.probe(str(silent.path), deadline_s=5, mount_id=entry.mount_id) is Liveness.ALIVE
        assert walker.stuck == 1


async def test_a_probe_without_a_place_says_nothing(fuse: FuseFactory) -> None:
    """Waiting for a place is not the mount's silence; unmounts and everything else have places of their own."""
    mount = await fuse("share")
    mount.stop()
    async with Walker(max_probes=1, turn_s=0.2) as walker:
        begun = asyncio.Event()
        hung = asyncio.create_task(walker.probe(str(mount.path), deadline_s=600, on_begun=begun.set))
        await begun.wait()
        with pytest.raises(MountError, match="too much else is under way") as caught:
            await walker.probe("/", deadline_s=0.1)
        assert not isinstance(caught.value, HungError)
        assert await walker.read_root("/", deadline_s=5)
        with pytest.raises(NotMountedError):
            await walker.unmount("/nothing", 1, deadline_s=5)
        hung.cancel()


async def test_a_cancelled_call_leaves_no_helper(walker: Walker, fuse: FuseFactory) -> None:
    """Cancellation abandons the helper as a deadline does."""
    mount = await fuse("share")
    mount.stop()
    probing = asyncio.create_task(walker.probe(str(mount.path), deadline_s=600))
    await walker.probe("/", deadline_s=5)
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert walker.stuck == 1
    await until_none_is_stuck(walker)


async def test_a_path_that_is_not_there_is_not_mounted(walker: Walker, place: Path) -> None:
    """A probe of nothing is an error: it says nothing about any client."""
    with pytest.raises(NotMountedError, match="does not exist"):
        await walker.probe(str(place / "nothing"), deadline_s=5)


async def test_a_killed_walker_process_is_started_again(walker: Walker, fuse: FuseFactory) -> None:
    """What was under way fails with a typed error; the next call has a new process."""
    mount = await fuse("share")
    mount.stop()
    probing = asyncio.create_task(walker.read_root(str(mount.path), deadline_s=600))
    await walker.probe("/", deadline_s=5)
    first = walker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with pytest.raises(MountError, match="its helper process was lost"):
        await probing
    assert await walker.probe("/", deadline_s=5) is Liveness.ALIVE
    assert walker.pid not in (None, first)


async def test_a_stopped_walker_process_is_only_a_missed_deadline(walker: Walker) -> None:
    """Requests wait in its socket meanwhile, and are answered when it goes on."""
    assert walker.pid is not None
    os.kill(walker.pid, signal.SIGSTOP)
    with pytest.raises(HungError):
        await walker.read_root("/", deadline_s=0.1)
    os.kill(walker.pid, signal.SIGCONT)
    assert await walker.probe("/", deadline_s=5) is Liveness.ALIVE
    await until_none_is_stuck(walker)


async def test_as_many_calls_at_once_as_are_allowed_are_all_answered(place: Path) -> None:
    """A guest that boots with hundreds of shares asks faster than the process can fork; nothing is lost of that."""
    async with Walker(max_probes=400) as walker:
        first = walker.pid
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(walker.probe(str(place), deadline_s=30) for _ in range(500)))
        assert set(answers) == {Liveness.ALIVE}
        assert walker.pid == first


async def test_a_walker_process_that_stays_stopped_is_replaced(place: Path) -> None:
    """What waits for it is bounded, and so is how long it can keep everybody waiting."""
    async with Walker(max_probes=400) as walker:
        first = walker.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        calls = (walker.probe(str(place), deadline_s=0.2) for _ in range(400))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(answer is Liveness.HUNG or isinstance(answer, MountError) for answer in answers)
        assert await walker.probe(str(place), deadline_s=5) is Liveness.ALIVE
        assert walker.pid != first


async def test_a_walker_that_cannot_start_says_so(place: Path) -> None:
    """A missing interpreter is a MountError, at the start and at a call."""
    walker = Walker(python=str(place / "no-python"))
    with pytest.raises(MountError, match=r"cannot start the walker: .*no-python"):
        await walker.start()
    with pytest.raises(MountError, match="its helper process was lost"):
        await walker.probe("/", deadline_s=1)


async def test_closing_ends_the_process_and_what_is_under_way(fuse: FuseFactory) -> None:
    """A close is prompt with a hung call under way, and leaves no process."""
    mount = await fuse("share")
    mount.stop()
    walker = Walker()
    probing = asyncio.create_task(walker.read_root(str(mount.path), deadline_s=600))
    await walker.probe("/", deadline_s=5)
    pid = walker.pid
    assert pid is not None
    async with asyncio.timeout(5):
        await walker.close()
        with pytest.raises(MountError):
            await probing
        await wait_until_ended(pid)


@pytest.mark.parametrize("name", ["share", "silent"])
async def test_an_agent_in_a_hung_call_can_be_killed_and_takes_its_walker_along(
    name: str, fuse: FuseFactory, silent: FuseMount
) -> None:
    """SIGKILL ends it at once, not only when the mount answers, and its walker process ends by itself."""
    mount = silent if name == "silent" else await fuse(name)
    if name == "share":
        mount.stop()
    agent = start_talking(AGENT, str(mount.path))
    assert agent.stdout is not None
    try:
        line = await asyncio.to_thread(agent.stdout.readline)
        agent.kill()
        async with asyncio.timeout(5):
            await wait_until_ended(agent.pid)
            await wait_until_ended(int(line))
    finally:
        agent.kill()
        agent.communicate()


async def test_many_calls_at_once_are_all_answered(walker: Walker, place: Path) -> None:
    """Three hundred calls share the slots, and each gets its own answer."""
    for number in range(300):
        (place / str(number)).mkdir()
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(walker.inspect(str(place / str(number)), [], deadline_s=30)) for number in range(300)
        ]
    assert [call.result().path for call in calls] == [str(place / str(number)) for number in range(300)]
    assert walker.stuck == 0


@pytest.mark.usefixtures("fusectl_as_before")
async def test_a_hung_connection_is_freed_by_an_abort(
    walker: Walker, table: MountTableWatcher, silent: FuseMount
) -> None:
    """An abort through fusectl frees whoever waits for the client, and the mount is dead from then on."""
    assert await walker.probe(str(silent.path), deadline_s=0.1) is Liveness.HUNG
    entry = table.refresh().top_at(str(silent.path))
    assert entry is not None
    await abort_connection(entry, walker=walker)
    await until_none_is_stuck(walker)
    assert await walker.probe(str(silent.path), deadline_s=5) is Liveness.DEAD


@pytest.mark.usefixtures("fusectl_as_before")
async def test_there_is_nothing_to_abort_at_a_kernel_file_system(walker: Walker, mount_tmpfs: MountTmpfs) -> None:
    """A device without a FUSE connection is an error with ENOENT."""
    with pytest.raises(PathError) as caught:
        await abort_connection(mount_tmpfs("a"), walker=walker)
    assert caught.value.errno == 2
