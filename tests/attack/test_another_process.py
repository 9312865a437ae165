"""A process that passes for a client, by its pid or by its output: nothing is taken from it, and nothing done to it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.actual import ProcessIdentity
from agent.mounts.walker import Walker
from agent.supervise.identity import find_by_output, identify_process, read_boot_id
from tests.attack.conftest import CountProbes
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from weft.errors import ExitedEarlyError, PathError

pytestmark = pytest.mark.integration

BOOT = read_boot_id()

STAND_IN = """
mount -t tmpfs weft:a:00000000 /tmp && cd /tmp && mkdir .share usr old && mount --rbind /usr usr &&
ln -s usr/bin bin && ln -s usr/lib lib && ln -s usr/lib64 lib64 &&
mount -t tmpfs weft:a:00000000 .share && touch .share/mine && pivot_root . old && echo ready && exec sleep 600
"""
"""Mounts what a client would, where it would, in a mount namespace of his own."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings."""
    async with engine_rig(tmp_path) as made:
        yield made


@asynccontextmanager
async def stand_in(*flags: str) -> AsyncIterator[int]:
    """Run a process with mounts of its own; yield its pid."""
    process = await asyncio.create_subprocess_exec(
        "unshare", *flags, "--propagation", "private", "sh", "-c", STAND_IN, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("flags", [("--mount",), ("--user", "--map-root-user", "--mount")], ids=["root", "user"])
@pytest.mark.parametrize("off_by", [-1, 1, 10**6])
async def test_only_the_client_that_was_started_is_taken_over(
    rig: EngineRig, flags: tuple[str, ...], off_by: int, count_probes: CountProbes
) -> None:
    """Its start tells it from whoever has its pid."""
    place = rig.root / "a"
    place.mkdir()
    async with stand_in(*flags) as pid:
        found = identify_process(pid, boot_id=BOOT)
        assert found is not None
        client = ProcessIdentity(pid=pid, start_ticks=found.start_ticks + off_by, boot_id=BOOT)
        with pytest.raises(PathError, match="no such process"):
            await rig.walker.take_over(client, str(place), ("nosuid", "nodev"), deadline_s=10)
        assert rig.entries_at(place) == ()
        client = ProcessIdentity(pid=pid, start_ticks=found.start_ticks, boot_id=BOOT)
        await rig.walker.take_over(client, str(place), ("nosuid", "nodev"), deadline_s=10)
        assert [path.name for path in place.iterdir()] == ["mine"], "he does what a client does"
    rig.unmount_behind(place)
    count_probes("processes that pass for a client")


PRETEND = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
script = 'mount -t tmpfs mine "$0" && exec >"$0/client.log" && exec sleep 600'
os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, sys.argv[1]])
"""


async def test_nobody_elses_process_is_taken_for_a_client(count_probes: CountProbes) -> None:
    """A user whose output has, in mounts of his own, the name of a client's."""
    with TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        output = Path(directory) / "client.log"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PRETEND, directory)
        try:
            async with asyncio.timeout(10):
                while os.readlink(f"/proc/{process.pid}/fd/1") != str(output):  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            assert find_by_output(output) == ()
        finally:
            process.kill()
            await process.wait()
    count_probes("processes that pass for a client")


@dataclass
class Late:
    """A walker whose clients have ended by the time they are taken over."""

    walker: Walker
    rig: EngineRig

    async def take_over(self, client: ProcessIdentity, *arguments: object, **options: object) -> int | None:
        """Kill the client first."""
        self.rig.kill_client("a")
        while identify_process(client.pid, boot_id=BOOT) is not None:  # noqa: ASYNC110 - it is the agent's to reap
            await asyncio.sleep(0.01)
        return await Walker.take_over(self.walker, client, *arguments, **options)  # type: ignore[arg-type]


async def test_a_client_that_ends_before_it_is_taken_over_failed_to_start(
    rig: EngineRig, monkeypatch: pytest.MonkeyPatch, count_probes: CountProbes
) -> None:
    """By the signal that ended it, and nothing of it is left."""
    monkeypatch.setattr(rig.walker, "take_over", Late(rig.walker, rig).take_over)
    async with rig.engine() as engine:
        with pytest.raises(ExitedEarlyError, match="exit code -9"):
            await engine.apply(slate("a", rig.root / "a"))
        assert rig.private_files() == []
    assert list(rig.root.iterdir()) == []
    count_probes("processes that pass for a client")
