"""What the walker finds at a path, and the directories it makes and removes, on a real file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.mounts.facts import PathKind, describe_holders
from agent.mounts.table import read_mount_table
from agent.mounts.walker import UnmountMode, Walker
from tests.integration.mounts.conftest import MountTmpfs, start_talking
from weft.errors import BusyError, ErrorCode, NotMountedError, PathError

pytestmark = pytest.mark.integration


async def test_a_directory_is_described(walker: Walker, place: Path) -> None:
    """Kind, mode and names come back, sorted."""
    directory = place / "a"
    directory.mkdir(mode=0o750)
    for name in ("z", "b", "café"):
        (directory / name).touch()
    facts = await walker.inspect(str(directory), [str(place)])
    assert (facts.kind, facts.mode, facts.entries) == (PathKind.DIRECTORY, 0o750, ("b", "café", "z"))
    assert (facts.ended_at, facts.resolved_path, facts.resolved_root) == (str(directory), str(directory), str(place))


async def test_a_walk_ends_where_it_must(walker: Walker, place: Path) -> None:
    """A missing component, a file and a link on the way are told apart, and each is named."""
    (place / "file").touch()
    (place / "dir").mkdir()
    (place / "link").symlink_to(place / "dir")

    async def ends(path: str) -> tuple[PathKind, str, str | None]:
        facts = await walker.inspect(str(place / path), [str(place)])
        at = None if facts.symlink_at is None else Path(facts.symlink_at).name
        return facts.kind, str(Path(facts.ended_at).relative_to(place)), at

    assert await ends("dir/none/deep") == (PathKind.MISSING, "dir/none", None)
    assert await ends("file/deep") == (PathKind.FILE, "file", None)
    assert await ends("link/deep") == (PathKind.SYMLINK, "link", "link")
    assert await ends("link") == (PathKind.SYMLINK, "link", "link")
    assert await ends("dir") == (PathKind.DIRECTORY, "dir", None)


async def test_a_root_that_is_a_link_is_resolved_once(walker: Walker, place: Path) -> None:
    """The link itself is allowed; where it led when first seen stays where shares go."""
    (place / "one" / "a").mkdir(parents=True)
    (place / "two" / "a").mkdir(parents=True)
    root = place / "root"
    root.symlink_to(place / "one")
    assert (await walker.inspect(str(root / "a"), [str(root)])).resolved_path == str(place / "one" / "a")
    root.unlink()
    root.symlink_to(place / "two")
    facts = await walker.inspect(str(root / "a"), [str(root)])
    assert (facts.kind, facts.resolved_path) == (PathKind.DIRECTORY, str(place / "one" / "a"))


async def test_the_longest_root_counts(walker: Walker, place: Path) -> None:
    """With a root inside another, a link between the two is on nobody's way."""
    (place / "real" / "a").mkdir(parents=True)
    (place / "link").symlink_to(place / "real")
    facts = await walker.inspect(str(place / "link" / "a"), [str(place), str(place / "link")])
    assert (facts.kind, facts.resolved_root) == (PathKind.DIRECTORY, str(place / "real"))


async def test_a_huge_directory_is_read_in_part(walker: Walker, place: Path) -> None:
    """The names are bounded, so that the answer always fits."""
    for number in range(400):
        (place / f"{number:0250}").touch()
    facts = await walker.inspect(str(place), [])
    assert len(facts.entries) == 256
    assert len(await walker.read_root(str(place), deadline_s=5, limit=10)) == 10


async def test_a_name_that_is_no_text_survives(walker: Walker, place: Path) -> None:
    """Its bytes come back, so that it can be named and used."""
    name = b"\xff\xfe".decode("utf-8", "surrogateescape")
    (place / name / "inner").mkdir(parents=True)
    assert (await walker.inspect(str(place), [])).entries == (name,)
    assert (await walker.inspect(str(place / name), [])).kind is PathKind.DIRECTORY


async def test_an_empty_directory_hides_nothing(walker: Walker, place: Path, mount_tmpfs: MountTmpfs) -> None:
    """It is no entry; a directory with something in it, and one on which something is mounted, are."""
    (place / "bare").mkdir()
    (place / "full" / "inner").mkdir(parents=True)
    mount_tmpfs("mounted")
    assert (await walker.inspect(str(place), [])).entries == ("full", "mounted")


async def test_missing_directories_are_made_and_told(walker: Walker, place: Path) -> None:
    """Only those made are returned, outermost first, with the mode asked for whatever the umask; twice makes none."""
    (place / "a").mkdir()
    path = place / "a" / "b" / "c"
    assert await walker.make_directories(str(path), 0o775) == (str(path.parent), str(path))
    assert path.stat().st_mode & 0o7777 == 0o775
    assert await walker.make_directories(str(path), 0o755) == ()


@pytest.mark.parametrize("kind", ["file", "link"])
async def test_no_directory_is_made_through_a_file_or_a_link(walker: Walker, place: Path, kind: str) -> None:
    """What is on the way is named, and nothing is made behind a link."""
    (place / "real").mkdir()
    if kind == "file":
        (place / kind).touch()
    else:
        (place / kind).symlink_to(place / "real")
    with pytest.raises(PathError, match=f"{kind}': not a directory") as caught:
        await walker.make_directories(str(place / kind / "a"))
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert list((place / "real").iterdir()) == []


async def test_a_read_only_parent_is_named(walker: Walker, mount_tmpfs: MountTmpfs) -> None:
    """A directory that cannot be made is not_found, naming where; trying again may help."""
    parent = mount_tmpfs("parent", "weft:parent:1", "-o", "ro").mount_point
    with pytest.raises(PathError, match="parent': read-only file system") as caught:
        await walker.make_directories(f"{parent}/child/deep")
    assert (caught.value.code, caught.value.errno, caught.value.is_permanent) == (ErrorCode.NOT_FOUND, 30, False)


async def test_only_an_empty_unmounted_directory_is_removed(
    walker: Walker, place: Path, mount_tmpfs: MountTmpfs
) -> None:
    """A mount point, a directory above one, a full directory, a file and nothing at all stay as they are."""
    mounted = Path(mount_tmpfs("above/mounted").mount_point)
    (place / "full" / "x").mkdir(parents=True)
    (place / "file").touch()
    (place / "empty").mkdir()
    kept = [mounted, mounted.parent, place / "full", place / "file", place / "missing"]
    assert [await walker.remove_directory(str(path)) for path in kept] == [False] * len(kept)
    assert await walker.remove_directory(str(place / "empty"))
    assert (await walker.inspect(str(place), [])).entries == ("above", "file", "full")


async def test_an_unmount_takes_one_layer(walker: Walker, mount_tmpfs: MountTmpfs) -> None:
    """Each call takes the mount that is meant, if it is the topmost; nothing else, and nothing twice."""
    path = mount_tmpfs("a").mount_point
    mount_tmpfs("a")
    lower, upper = (entry.mount_id for entry in read_mount_table().at(path))
    with pytest.raises(NotMountedError):
        await walker.unmount(path, lower)
    await walker.unmount(path, upper)
    await walker.unmount(path, lower, UnmountMode.DETACH)
    assert read_mount_table().at(path) == ()
    with pytest.raises(NotMountedError):
        await walker.unmount(path, lower)


async def test_holders_of_every_kind_are_named(walker: Walker, place: Path, mount_tmpfs: MountTmpfs) -> None:
    """A working directory, an open file and a mapping each keep a mount, and their processes are found."""
    path = mount_tmpfs("a").mount_point
    (Path(path) / "data").write_text("x" * 4096)
    ready = "print(flush=True); sys.stdin.read()"
    code = {
        "cwd": f"import os, sys; os.chdir(sys.argv[1]); {ready}",
        "file": f"import sys; held = open(sys.argv[1] + '/data'); {ready}",
        "map": "import ctypes, mmap, os, sys; fd = os.open(sys.argv[1] + '/data', os.O_RDONLY); "
        f"ctypes.CDLL(None).mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0); os.close(fd); {ready}",
    }
    processes = {name: start_talking(text, path) for name, text in code.items()}
    try:
        for process in processes.values():
            assert process.stdout is not None
            process.stdout.readline()
        holders = await walker.open_holders(path)
        assert {holder.pid for holder in holders} == {process.pid for process in processes.values()}
        assert {holder.path for holder in holders} == {path, f"{path}/data"}
        assert f"pid {processes['cwd'].pid} (python" in describe_holders(holders)
        with pytest.raises(BusyError):
            await walker.unmount(path, read_mount_table().at(path)[0].mount_id)
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    assert await walker.open_holders(path) == ()
