"""Mount points that are not what they seem: bare, full, stacked, covered, taken away, oddly named, or not allowed."""

from __future__ import annotations

import json
import os

import pytest

from tests.faults.guest import FaultyGuest, codes_of, error_of, states_of
from tests.faults.timings import Timings
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.reconciling import guest_on
from weft.wire.share import share_to_builtins

pytestmark = pytest.mark.integration

ODD = "été \\ 1st term"


async def test_f07_stacked_duplicate_is_not_stacked_further_and_goes_with_the_share(
    guest: FaultyGuest, timings: Timings
) -> None:
    """Whoever stacked it: nothing is mounted upon it, and nothing of the share is left when it goes."""
    share = guest.rclone("a")
    async with guest.agent:
        await guest.settle(share)
        await guest.agent.stop()
        timings.injected()
        guest.stack("a")
        await guest.agent.start()
        await guest.agent.until(lambda status: "a" in states_of(status))
        await guest.publish(share)
        await guest.agent.until(lambda status: status["held_revision"] == guest.revision)
        assert len(guest.entries_at("a")) <= 2
        await guest.settle()
        timings.repaired()
    assert guest.entries_at("a") == ()


async def test_f08_client_that_claims_success_without_a_mount_is_a_failure(rig: EngineRig, timings: Timings) -> None:
    """Only the mount table counts; nothing is left in whose directory somebody could write to the guest's own disk."""
    rig.driver.deadline_s = 0.5
    share = slate("a", rig.root / "a", mode="claim")
    async with guest_on(rig) as guest:
        timings.injected()
        guest.want(share)
        await guest.until(lambda progress: "a" in progress.standings and progress.standings["a"].fault is not None)
        timings.detected()
        fault = guest.reconciler.progress.standings["a"].fault
        assert fault is not None
        assert fault.code == "exited"
        assert rig.entries_at(rig.root / "a") == ()
        assert not (rig.root / "a").exists()


async def test_f09_bare_directory_is_not_taken_for_a_mounted_share(guest: FaultyGuest, timings: Timings) -> None:
    """Neither one that was there before, nor the one that is left when the mount went while no agent looked."""
    guest.at("a").mkdir(parents=True)
    share = guest.rclone("a")
    async with guest.agent:
        await guest.settle(share)
        old = guest.pid_of("a")
        await guest.agent.stop()
        timings.injected()
        guest.unmount_behind("a")
        assert guest.at("a").is_dir()
        await guest.agent.start()
        await guest.until_replaced("a", old)
        timings.repaired()
        assert len(guest.entries_at("a")) == 1
        assert await guest.read("a") == "a"
        await guest.settle()


async def test_f10_files_in_a_bare_directory_are_named_and_never_lost(guest: FaultyGuest, timings: Timings) -> None:
    """They stop a first mount; what was written while a share was away is covered by its repair, and told."""
    (guest.at("full")).mkdir(parents=True)
    (guest.at("full") / "thesis.txt").write_text("mine")
    async with guest.agent:
        await guest.publish(guest.rclone("full"), guest.rclone("a"))
        status = await guest.agent.until_states(full="backoff", a="mounted")
        assert error_of(status, "full")["code"] == "occupied"
        assert "thesis.txt" in error_of(status, "full")["message"]
        await guest.agent.stop()
        timings.injected()
        guest.unmount_behind("a")
        (guest.at("a") / "stray.txt").write_text("mine")
        await guest.agent.start()
        assert (await guest.logged("mount.covering"))["entries"]
        timings.detected()
        await guest.agent.until_states(full="backoff", a="mounted")
        timings.repaired()
        assert "stray.txt" in error_of(await guest.agent.status(), "a")["message"]
        await guest.settle()
    assert (guest.at("a") / "stray.txt").read_text() == "mine"
    assert (guest.at("full") / "thesis.txt").read_text() == "mine"


async def test_f11_cleaning_up_removes_no_file(guest: FaultyGuest, timings: Timings) -> None:
    """Not of the share, not of a stranger's mount on it, and not a directory into which somebody wrote."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"), guest.rclone("b", "deep/below/b"))
        (guest.at("deep") / "note").write_text("mine")
        with guest.foreign_mount("a"):
            timings.injected()
            await guest.publish()
            await guest.agent.until(lambda status: bool(error_of(status, "a")))
            timings.detected()
            assert (guest.at("a") / "theirs").read_text() == "theirs"
        await guest.agent.until_states()
        timings.repaired()
    assert (guest.agent.sources / "a" / "hello.txt").read_text() == "a"
    assert (guest.agent.sources / "b" / "hello.txt").read_text() == "b"
    assert not guest.at("a").exists()
    assert [str(path.relative_to(guest.agent.mounts)) for path in guest.agent.mounts.rglob("*")] == [
        "deep",
        "deep/note",
    ]


async def test_f20_share_that_somebody_else_unmounts_returns_at_once_and_a_fight_is_slowed(
    guest: FaultyGuest, timings: Timings
) -> None:
    """The mount table tells of it, without a question."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"))
        old = guest.pid_of("a")
        timings.injected()
        guest.unmount_behind("a")
        await guest.logged("mount.lost", attempt=1)
        timings.detected()
        await guest.until_replaced("a", old)
        timings.repaired()
        guest.unmount_behind("a")
        assert (await guest.logged("mount.lost", attempt=2))["delay_s"] > 0
        status = await guest.agent.until_states(a="backoff")
        assert "in a row" in error_of(status, "a")["message"]
        await guest.until_mounted("a")
        await guest.settle()


async def test_f24_children_and_binds_return_after_their_dead_parent(guest: FaultyGuest, timings: Timings) -> None:
    """None of them is left on the parent's dead superblock."""
    guest.agent.arguments = ("--allow-source", str(guest.agent.mounts))
    (guest.agent.source("p") / "sub").mkdir()
    (guest.agent.sources / "p" / "shown").mkdir()
    (guest.agent.sources / "p" / "shown" / "hello.txt").write_text("shown")
    shares = guest.rclone("p"), guest.rclone("c", "p/sub"), guest.bind("b", guest.at("p") / "shown")
    async with guest.agent:
        await guest.settle(*shares)
        timings.injected()
        old = guest.kill_client("p")
        for name in ("p", "c", "b"):
            await guest.logged("mount.lost", share=name)
        timings.detected()
        await guest.until_replaced("p", old)
        await guest.until_mounted("p", "c", "b")
        timings.repaired()
        assert [await guest.read(name) for name in ("p", "p/sub", "b")] == ["p", "c", "shown"]
        assert [len(guest.entries_at(name)) for name in ("p", "p/sub", "b")] == [1, 1, 1]
        await guest.settle()


async def test_f27_odd_names_are_known_in_the_mount_table(guest: FaultyGuest, timings: Timings) -> None:
    """Spaces, backslashes and other letters in a mount point, and a source that was deleted under its bind mount."""
    shown = guest.agent.source("b")
    async with guest.agent:
        await guest.settle(guest.rclone("a", ODD), guest.bind("b", shown))
        (entry,) = guest.entries_at("b")
        (shown / "hello.txt").unlink()
        timings.injected()
        shown.rmdir()
        (deleted,) = guest.entries_at("b")
        assert (deleted.mount_id, deleted.is_deleted) == (entry.mount_id, True)
        old = guest.kill_client("a")
        await guest.until_replaced("a", old)
        timings.repaired()
        assert await guest.read(ODD) == "a"
        pid = guest.pid_of("a")
        await guest.agent.stop()
        await guest.agent.start()
        await guest.until_mounted("a", "b")
        assert guest.pid_of("a") == pid
        assert len(guest.entries_at(ODD)) == 1
        await guest.settle()
    assert list(guest.agent.mounts.iterdir()) == []


async def test_f28_mount_points_outside_the_policy_are_refused_with_the_reason(
    guest: FaultyGuest, timings: Timings
) -> None:
    """Relative ones and those with dots never get as far as the guest's files; links and other places do not either."""
    guest.at("").mkdir(parents=True, exist_ok=True)
    guest.at("link").symlink_to("/etc")
    guest.at("file").write_text("a file")
    good = share_to_builtins(guest.rclone("good"))
    bad = {
        "relative": "shares/a",
        "dots": f"{guest.at('x')}/../a",
        "linked": str(guest.at("link") / "a"),
        "system": "/etc/weft-test",
        "elsewhere": "/var/weft-test/a",
        "file": str(guest.at("file")),
    }
    elements = [good, *({**good, "id": name, "mount_point": path} for name, path in bad.items())]
    async with guest.agent:
        timings.injected()
        guest.revision += 1
        message = {"vm": guest.agent.vm, "revision": guest.revision, "shares": elements}
        await guest.store(json.dumps(message).encode())
        await guest.agent.until(lambda status: {"good": "mounted"}.items() <= states_of(status).items())
        status = await guest.agent.until(lambda status: len(codes_of(status)) == len(bad))
        timings.detected()
        assert states_of(status) == {
            "good": "mounted",
            "relative": "rejected",
            "dots": "rejected",
            "linked": "failed",
            "system": "failed",
            "elsewhere": "failed",
            "file": "backoff",
        }
        codes = codes_of(status)
        assert (codes["relative"], codes["dots"], codes["file"]) == ("bad_spec", "bad_spec", "occupied")
        assert {codes[name] for name in ("linked", "system", "elsewhere")} == {"denied"}
        assert str(guest.at("link")) in error_of(status, "linked")["message"]
        await guest.settle()
    assert "a" not in os.listdir("/etc")


async def test_f29_only_directories_of_our_own_are_removed(guest: FaultyGuest, timings: Timings) -> None:
    """Also when another agent made them than the one that takes the share away."""
    guest.at("before").mkdir(parents=True, mode=0o750)
    async with guest.agent:
        await guest.settle(guest.rclone("a", "before"), guest.rclone("b", "made/for/it"))
        await guest.agent.stop()
        timings.injected()
        await guest.publish()
        await guest.agent.start()
        await guest.agent.until_states()
        timings.repaired()
    assert [path.name for path in guest.agent.mounts.iterdir()] == ["before"]
    assert guest.at("before").stat().st_mode & 0o777 == 0o750
