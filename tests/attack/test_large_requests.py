"""Shares too large for a command line: refused alone, while the helpers of all others go on."""

from __future__ import annotations

import asyncio
import marshal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.mounts.holders import AT_MOST, find_holders
from tests.attack.conftest import CountProbes
from tests.faults.rigged import give_rclone
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.shares import unmount
from weft.errors import MountError
from weft.wire.share import ShareMount, parse_share

KIB = 1024
SIZES = (100, 127, 129, 160, 207, 209, 255, 257, 300, 900)
"""In KiB, around what one argument, a socket and a helper take."""

PACKET_BYTES = 200_000
"""A socket of the usual size takes a little more."""


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings, with rclone."""
    async with engine_rig(tmp_path) as made:
        give_rclone(made)
        (made.sources / "pool").mkdir()
        yield made


def large(rig: EngineRig, kind: str, size: int) -> ShareMount:
    """Build a share with an option of so many bytes."""
    blocks: dict[str, dict[str, object]] = {
        "local": {"type": "local", "path": str(rig.sources / "pool")},
        "webdav": {"type": "webdav", "path": "", "config": {"url": "http://127.0.0.1:1", "vendor": "other"}},
    }
    block = {"config": {}, **blocks[kind], "options": {"exclude": "x" * size}}
    return parse_share({"id": "a", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block})


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["local", "webdav"])
async def test_a_share_too_large_for_a_command_line_fails_alone(
    rig: EngineRig, kind: str, count_probes: CountProbes
) -> None:
    """Another start that is under way meanwhile ends as if it were alone, and the same process forks its helpers."""
    async with rig.engine() as engine:
        await engine.apply(slate("b", rig.root / "b"))
        before = rig.walker.pid
        for size in SIZES:
            neighbour = asyncio.create_task(engine.apply(slate("c", rig.root / "c")))
            if kind == "local" and size * KIB < 128 * KIB:
                await engine.apply(large(rig, kind, size * KIB))
                await engine.apply(unmount("a"))
            else:
                with pytest.raises(MountError) as caught:
                    await engine.apply(large(rig, kind, size * KIB))
                told = (caught.value.message + caught.value.detail).lower()
                assert "argument list too long" in told or size * KIB < 128 * KIB
            await neighbour
            await engine.apply(unmount("c"))
        assert rig.walker.pid == before
        assert list(rig.root.iterdir()) == [rig.root / "b"]
        await engine.apply(unmount("b"))
    count_probes("shares too large for a command line", len(SIZES))


def test_holders_with_long_paths_fit_an_answer(tmp_path: Path, count_probes: CountProbes) -> None:
    """Each user may have a working directory with the longest path there is, and a name that is no text."""
    for pid in range(1, 3 * AT_MOST):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "cwd").symlink_to("/mnt/a" + "/\udcff" * 2000)
        (tmp_path / str(pid) / "comm").write_bytes(b"\xff" * 15 + b"\n")
    found = find_holders("/mnt/a", str(tmp_path))
    assert len(found) == AT_MOST
    assert len(marshal.dumps({"id": 10**9, "value": found})) < PACKET_BYTES
    count_probes("holders with long paths", len(found))
