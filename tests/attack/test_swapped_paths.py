"""A user of the guest who owns a directory on the way, and swaps it for a link while weft or a client passes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.mounts.engine import MountEngine
from agent.mounts.places import private_dir
from tests.attack.conftest import CountProbes
from tests.faults.rigged import give_rclone
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.shares import bind, unmount
from tests.parts.swapping import swapping
from weft.errors import MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

LOOKS = 150
"""Reads and writes through one mount while the link is swapped; by path, every second went to the link's target."""

STARTS = 12
"""Mounts and unmounts while a directory above is swapped."""

SECRET = "root's own words"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings, with rclone."""
    async with engine_rig(tmp_path) as made:
        give_rclone(made)
        yield made


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A directory outside of every allowed root, with a secret in it."""
    directory = tmp_path / "victim"
    (directory / "a").mkdir(parents=True)
    (directory / "note").write_text(SECRET)
    return directory


def served(rig: EngineRig, how: str) -> ShareMount:
    """Build a share that has rclone serve the directory ``pool``, directly or below a wrapper."""
    pool = str(rig.sources / "pool")
    blocks: dict[str, dict[str, Any]] = {
        "local": {"type": "local", "path": pool, "config": {}},
        "alias": {"type": "alias", "path": "", "config": {"remote": pool}},
        "union": {"type": "union", "path": "", "config": {"upstreams": f"{pool} {rig.sources / 'other'}"}},
        "combine": {"type": "combine", "path": "", "config": {"upstreams": f"in={pool}"}},
        "crypt": {
            "type": "crypt",
            "path": "",
            "config": {
                "remote": pool,
                "password": "tide pool",
                "filename_encryption": "off",
                "suffix": "none",
                "directory_name_encryption": "false",
            },
        },
    }
    block = blocks[how] | {"options": {"vfs-cache-mode": "off", "dir-cache-time": "1ms", "attr-timeout": "0s"}}
    return parse_share({"id": "a", "backend": "rclone", "mount_point": str(rig.root / "a"), "rclone": block})


def look(directory: Path) -> set[str]:
    """Read and write in *directory* as a user would who waits for the moment; return what was read."""
    found: set[str] = set()
    for action in (
        lambda: found.add((directory / "note").read_text(errors="replace")),
        lambda: found.add((directory / "rclone.conf").read_text(errors="replace")),
        lambda: (directory / "planted").write_text("planted"),
    ):
        try:
            action()
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", ["local", "alias", "union", "combine", "crypt"])
async def test_a_swapped_source_shows_and_takes_nothing_else(
    rig: EngineRig, victim: Path, how: str, count_probes: CountProbes
) -> None:
    """However rclone comes to serve a directory, a link in it leads to nothing outside, neither read nor written."""
    for name in ("pool", "other"):
        (rig.sources / name).mkdir()
    inside = Path(served(rig, how).mount_point) / ("in" if how == "combine" else "") / "home"
    async with rig.engine() as engine:
        await engine.apply(served(rig, how))
        async with swapping(rig.sources / "pool" / "home" / "sub", target=victim):
            for _ in range(LOOKS):
                found = await asyncio.to_thread(look, inside / "sub")
                assert not any(SECRET in text for text in found)
        count_probes("looks through a swapped source", 3 * LOOKS)
        await engine.apply(unmount("a"))
    assert sorted(os.listdir(victim)) == ["a", "note"]


async def test_a_swapped_source_does_not_lead_to_the_clients_own_files(
    rig: EngineRig, count_probes: CountProbes
) -> None:
    """What a client was started with is gone once it serves a directory of the guest."""
    (rig.sources / "pool").mkdir()
    own = private_dir(rig.directory / "run", ShareId("a"))
    async with rig.engine() as engine:
        await engine.apply(served(rig, "crypt"))
        assert not list(own.rglob("*.conf"))
        async with swapping(rig.sources / "pool" / "home" / "sub", target=own):
            for _ in range(LOOKS):
                found = await asyncio.to_thread(look, rig.root / "a" / "home" / "sub")
                assert not any("password" in text for text in found)
        count_probes("looks through a swapped source", 3 * LOOKS)
        await engine.apply(unmount("a"))


@pytest.mark.parametrize("kind", ["bind", "fuse"])
@pytest.mark.parametrize("depth", [1, 2])
async def test_a_swapped_directory_above_a_mount_point_moves_no_mount(
    rig: EngineRig, victim: Path, kind: str, depth: int, count_probes: CountProbes
) -> None:
    """The mount stands below the user's own directory or nowhere; unmounting takes nothing else away."""
    (rig.sources / "pool").mkdir()
    (rig.sources / "pool" / "hello").touch()
    swapped = rig.root / "home" / "sub"
    mount_point = swapped.joinpath(*"ab"[:depth])
    (victim / "a" / "b").mkdir()
    watched = [victim, victim / "a", victim / "a" / "b"]
    seen: list[object] = []
    with rig.foreign_mount(victim.joinpath(*"ab"[:depth])):
        there = {str(path): len(rig.entries_at(path)) for path in watched}
        forget = rig.table.subscribe(
            lambda table: seen.extend(path for path, count in there.items() if len(table.at(path)) != count)
        )
        async with rig.engine() as engine, swapping(swapped, target=victim):
            for _ in range(STARTS):
                await _start_and_stop(engine, kind, mount_point, rig)
                count_probes("mounts and unmounts below a swapped directory", 2)
        forget()
        assert seen == []
        assert {path: len(rig.entries_at(Path(path))) for path in there} == there
    left = [entry.mount_point for entry in rig.table.refresh().below(str(rig.root))]
    assert left == []


async def _start_and_stop(engine: MountEngine, kind: str, mount_point: Path, rig: EngineRig) -> None:
    share = bind("a", str(mount_point), source=str(rig.sources / "pool")) if kind == "bind" else slate("a", mount_point)
    for wanted in (share, unmount("a")):
        try:
            await engine.apply(wanted)
        except MountError:
            continue
    while ShareId("a") in engine.mounted():  # the user may be faster; who tries again wins in the end
        try:
            await engine.apply(unmount("a"))
        except MountError:
            continue
