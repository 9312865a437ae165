"""An agent that starts anew: what works is taken over untouched, what is half done is undone, foreign things stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from agent.actual import LiveMount, Presence, ProcessIdentity, Stage
from agent.mounts.ownership import source_of
from agent.mounts.places import OUTPUT_NAME, private_dir
from agent.supervise.identity import identify_process, read_boot_id
from tests.fakes import slate_client
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.processes import wait_until_ended
from tests.parts.shares import bind, unmount
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration

A = ShareId("a")


async def test_a_live_mount_is_adopted(rig: EngineRig) -> None:
    """The next agent has the same client and mounts nothing, and hears of its loss."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as first:
        await first.apply(share)
        before = first.mounted()[A]
    async with rig.engine() as second:
        report = await second.adopt({A: share})
        assert (report.adopted, report.orphans) == ((A,), ())
        assert second.mounted()[A] == before
        await second.apply(share)
        assert second.mounted()[A] == before
        rig.kill_client("a")
        assert await rig.wait_for_change(lambda error: error is not None)
        await second.apply(unmount("a"))
    assert rig.private_files() == []


async def test_nothing_is_lost_before_it_is_adopted(rig: EngineRig) -> None:
    """An engine that has not looked yet takes nothing for lost, whatever happens to the mount table."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as first:
        await first.apply(share)
    async with rig.engine() as second:
        with rig.foreign_mount(rig.root / "other"):
            await rig.table.wait_for(lambda table: table.top_at(str(rig.root / "other")), deadline_s=10)
        assert (await second.adopt({A: share})).adopted == (A,)
        assert rig.changes == []
        await second.apply(unmount("a"))


async def test_a_kernel_mount_is_adopted(rig: EngineRig) -> None:
    """A mount without a client is known by its ids."""
    (rig.sources / "s").mkdir()
    share = bind("a", str(rig.root / "a"), source=str(rig.sources / "s"))
    async with rig.engine() as first:
        await first.apply(share)
        before = first.mounted()[A]
    async with rig.engine() as second:
        assert (await second.adopt({A: share})).adopted == (A,)
        await second.apply(share)
        assert second.mounted()[A] == before
        await second.apply(unmount("a"))


async def test_a_mount_without_a_record_is_adopted_by_its_source(rig: EngineRig) -> None:
    """A lost ledger costs no mount: the source says whose it is, its output file who serves it."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as first:
        await first.apply(share)
        before = first.mounted()[A]
    rig.live.mounts.clear()
    async with rig.engine() as second:
        assert (await second.adopt({A: share})).adopted == (A,)
        after = second.mounted()[A]
        assert (after.process, after.mount_id, after.digest) == (before.process, before.mount_id, before.digest)
        await second.apply(share)
        assert second.mounted()[A] == after
        await second.apply(unmount("a"))
    assert rig.private_files() == []


async def test_a_mount_without_a_record_that_nobody_wants_is_an_orphan(rig: EngineRig) -> None:
    """It stays until it is told to go, and can be."""
    async with rig.engine() as first:
        await first.apply(slate("a", rig.root / "a"))
    rig.live.mounts.clear()
    async with rig.engine() as second:
        assert (await second.adopt({})).orphans == (A,)
        assert second.presence(A) is Presence.MOUNTED
        await second.apply(unmount("a"))
    assert rig.entries_at(rig.root / "a") == ()
    assert rig.private_files() == []


async def test_the_mounts_of_another_agent_are_not_adopted(rig: EngineRig, tmp_path: Path) -> None:
    """A second agent on the machine, with directories of its own, leaves the first one's shares alone."""
    async with rig.engine() as first, engine_rig(tmp_path / "other") as other:
        await first.apply(slate("a", rig.root / "a"))
        async with other.engine() as second:
            report = await second.adopt({})
            assert (report.adopted, report.orphans, report.cleaned) == ((), (), ())
            assert second.mounted() == {}
        assert first.presence(A) is Presence.MOUNTED
        await first.apply(unmount("a"))


async def test_a_changed_share_is_replaced_after_adoption(rig: EngineRig) -> None:
    """What changed while no agent ran is changed by the next apply."""
    async with rig.engine() as first:
        await first.apply(slate("a", rig.root / "a"))
        before = first.mounted()[A]
    async with rig.engine() as second:
        share = slate("a", rig.root / "a", page="2")
        assert (await second.adopt({A: share})).adopted == (A,)
        await second.apply(share)
        assert second.mounted()[A].process != before.process
        await second.apply(unmount("a"))


async def test_a_client_that_died_meanwhile_is_repaired(rig: EngineRig) -> None:
    """A dead mount of a wanted share is left to the next apply."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as first:
        await first.apply(share)
    pid = rig.pid_of("a")
    rig.kill_client("a")
    await wait_until_ended(pid)
    async with rig.engine() as second:
        assert (await second.adopt({A: share})).lost == (A,)
        assert second.presence(A) is Presence.UNCERTAIN
        await second.apply(share)
        assert second.presence(A) is Presence.MOUNTED
        await second.apply(unmount("a"))


async def test_a_dead_mount_that_nobody_wants_is_cleaned(rig: EngineRig) -> None:
    """Nothing is left of a share that was withdrawn while its client was dead."""
    async with rig.engine() as first:
        await first.apply(slate("a", rig.root / "a"))
    pid = rig.pid_of("a")
    rig.kill_client("a")
    await wait_until_ended(pid)
    async with rig.engine() as second:
        assert (await second.adopt({})).cleaned == (A,)
    assert rig.entries_at(rig.root / "a") == ()
    assert rig.live.mounts == {}
    assert list(rig.root.iterdir()) == []
    assert rig.private_files() == []


@pytest.mark.parametrize("mode", ["never", "serve"])
async def test_a_half_done_start_that_nobody_wants_is_undone(rig: EngineRig, mode: str) -> None:
    """A client that was started, but not yet known to work, is stopped; its files and directories are removed."""
    live, client = start_half(rig, mode)
    rig.live.record_live(live)
    async with rig.engine() as engine:
        if mode == "serve":
            await rig.table.wait_for(lambda table: table.top_at(live.real_path), deadline_s=20)
        report = await engine.adopt({})
        assert (report.undone, report.orphans) == (((A,), ()) if mode == "never" else ((), (A,)))
        await engine.apply(unmount("a"))
    await wait_until_ended(client.pid)
    assert rig.live.mounts == {}
    assert rig.private_files() == []
    assert list(rig.root.iterdir()) == []


async def test_a_client_that_was_started_but_never_recorded_is_found(rig: EngineRig) -> None:
    """Between start and record an agent may be killed; the client is known by its output file."""
    live, client = start_half(rig, "never")
    rig.live.record_live(msgspec.structs.replace(live, process=None))
    async with rig.engine() as engine:
        assert (await engine.adopt({})).undone == (A,)
    await wait_until_ended(client.pid)
    assert rig.private_files() == []


def start_half(rig: EngineRig, mode: str) -> tuple[LiveMount, subprocess.Popen[bytes]]:
    """Leave what an agent leaves that is killed right after it started a client."""
    share = slate("a", rig.root / "a", mode=mode)
    directory = private_dir(rig.directory / "run", A)
    directory.mkdir(parents=True)
    (rig.root / "a").mkdir()
    source = source_of(share)
    with (directory / OUTPUT_NAME).open("wb") as output:
        client = subprocess.Popen(
            [sys.executable, slate_client.__file__, mode, share.mount_point, source], stdout=output, stderr=output
        )
    live = LiveMount(
        share=share,
        digest=share_digest(share),
        stage=Stage.STARTING,
        process=identify_process(client.pid, boot_id=read_boot_id()),
        boot_id=read_boot_id(),
        path=share.mount_point,
        source=source,
        made_directories=(share.mount_point,),
        private_dir=str(directory),
    )
    return live, client


async def test_the_pid_of_a_dead_client_is_nobody_else(rig: EngineRig) -> None:
    """A process that has the pid of a client but not its start time is not touched."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as first:
        await first.apply(share)
        await first.apply(unmount("a"))
    other = start_other()
    try:
        rig.live.record_live(
            LiveMount(
                share=share,
                digest=share_digest(share),
                stage=Stage.MOUNTED,
                process=ProcessIdentity(pid=other.pid, start_ticks=1, boot_id=read_boot_id()),
                boot_id=read_boot_id(),
                mount_id=999999,
                private_dir=str(private_dir(rig.directory / "run", A)),
            )
        )
        async with rig.engine() as second:
            assert (await second.adopt({})).cleaned == (A,)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def start_other() -> subprocess.Popen[bytes]:
    """Start a process that has nothing to do with any share."""
    return subprocess.Popen(["/bin/sleep", "60"])


async def test_a_foreign_mount_at_the_place_of_a_record_stays(rig: EngineRig) -> None:
    """After a reboot the ids of a record may mean something else; it is not touched."""
    share = slate("a", rig.root / "a")
    with rig.foreign_mount(rig.root / "a"):
        entry = rig.entries_at(rig.root / "a")[0]
        rig.live.record_live(
            LiveMount(
                share=share,
                digest=share_digest(share),
                stage=Stage.MOUNTED,
                boot_id="another-boot",
                mount_id=entry.mount_id,
                device=entry.device,
                private_dir=str(private_dir(rig.directory / "run", A)),
            )
        )
        async with rig.engine() as engine:
            assert (await engine.adopt({})).cleaned == (A,)
        assert [found.source for found in rig.entries_at(rig.root / "a")] == ["foreign"]


async def test_a_private_directory_that_cannot_be_removed_does_not_end_the_agent(rig: EngineRig) -> None:
    """What an earlier agent left and the disk will not give up concerns one share: the others are adopted."""
    async with rig.engine() as first:
        await first.apply(slate("a", rig.root / "a"))
        await first.apply(slate("b", rig.root / "b"))
    kept = private_dir(rig.directory / "run", ShareId("b"))
    stray = rig.private / "0123456789ab"
    stray.mkdir()
    rig.live.mounts[ShareId("b")] = msgspec.structs.replace(rig.live.mounts[ShareId("b")], stage=Stage.STARTING)
    with rig.foreign_mount(kept / "busy"), rig.foreign_mount(stray / "busy"):
        rig.kill_client("b")
        await wait_until_ended(rig.pid_of("b"))
        async with rig.engine() as second:
            report = await second.adopt({A: slate("a", rig.root / "a")})
            assert (report.adopted, list(report.failed)) == ((A,), [ShareId("b")])
            assert stray.is_dir()
    async with rig.engine() as third:
        assert (await third.adopt({})).failed == {}
        await third.apply(unmount("a"))
    assert rig.private_files() == []
