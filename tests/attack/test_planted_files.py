"""A client that was taken over plants files in its own directories: root, who looks there, is led nowhere by them."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.drivers.rclone_cache import find_waiting, mend
from agent.mounts.places import OUTPUT_NAME, TMP_NAME, output_size, read_output, read_output_since, trim_output
from tests.attack.conftest import CountProbes
from tests.faults.rigged import give_rclone
from tests.parts.engine_rig import EngineRig, engine_rig, slate
from tests.parts.shares import unmount
from weft.errors import MountError

SECRET = "moonlit-shore-9"

PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "a link to a secret": lambda path, secret: path.symlink_to(secret),
    "a link to a device without end": lambda path, _: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path, _: path.symlink_to(path),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a directory": lambda path, _: path.mkdir(),
    "a large file": lambda path, _: path.write_bytes(b"x" * (4 << 20)),
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that only root reads."""
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
@pytest.mark.parametrize("name", [OUTPUT_NAME, "other.log"])
def test_what_lies_in_place_of_an_output_is_not_followed(
    tmp_path: Path, secret: Path, plant: Callable[[Path, Path], object], name: str, count_probes: CountProbes
) -> None:
    """It is what a status shows to everybody; and nothing waits, or reads for ever."""
    directory = tmp_path / "private"
    directory.mkdir()
    plant(directory / name, secret)
    for text in (read_output(directory, ("other.log",)), read_output_since(directory, 0)):
        assert SECRET not in text
        assert len(text) <= 8192
    output_size(directory)
    try:
        trim_output(directory)
    except OSError:
        assert secret.read_text() == SECRET
    count_probes("files planted by a client", 4)


@pytest.mark.parametrize("root", ["vfsMeta", "vfs", "vfsMeta/r", "vfs/r", "vfsMeta/r/note", "vfs/r/note"])
@pytest.mark.parametrize("is_directory", [True, False])
def test_no_link_in_a_cache_leads_root_out_of_it(
    tmp_path: Path, root: str, is_directory: bool, count_probes: CountProbes
) -> None:
    """Neither are files counted there, nor is one written."""
    victim, cache = tmp_path / "victim", tmp_path / "cache"
    for at in (victim, victim / "r", cache / "vfs" / "r", cache / "vfsMeta" / "r"):
        at.mkdir(parents=True)
    for at in (victim / "note", victim / "r" / "note", cache / "vfs" / "r" / "note"):
        at.write_text("words")
    link = cache / root
    if link.is_dir():
        shutil.rmtree(link)
    link.unlink(missing_ok=True)
    link.symlink_to(victim if is_directory else victim / "note")
    before = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    mend(cache)
    find_waiting(cache)
    assert {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()} == before
    count_probes("files planted by a client", 2)


@pytest.mark.parametrize("name", ["vfs/pipe", "vfs/r/pipe"])
def test_a_pipe_in_a_cache_keeps_nobody_waiting(tmp_path: Path, name: str, count_probes: CountProbes) -> None:
    """It is no file that could be stored."""
    (tmp_path / name).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / name)
    assert mend(tmp_path) == ()
    assert find_waiting(tmp_path).files == 0
    count_probes("files planted by a client", 2)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """An engine's surroundings."""
    async with engine_rig(tmp_path / "rig") as made:
        give_rclone(made)
        yield made


@pytest.mark.integration
async def test_the_next_client_sees_nothing_through_a_link_that_the_last_one_left(
    rig: EngineRig, secret: Path, count_probes: CountProbes
) -> None:
    """What it has as its temporary directory is the share's own, or it is not started."""
    share = slate("a", rig.root / "a")
    async with rig.engine() as engine:
        await engine.apply(share)
        (tmp,) = (rig.directory / "state" / "cache").rglob(TMP_NAME)
        shutil.rmtree(tmp)
        tmp.symlink_to(secret.parent)
        rig.kill_client("a")
        await rig.wait_for_change(lambda error: error is not None)
        with pytest.raises(MountError, match="directory"):
            await engine.apply(share)
        tmp.unlink()
        await engine.apply(share)
        pid = rig.pid_of("a")
        assert secret.name not in await asyncio.to_thread(os.listdir, f"/proc/{pid}/root/tmp")
        await engine.apply(unmount("a"))
    count_probes("files planted by a client")
