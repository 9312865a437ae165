"""What rclone's cache says of files that are not stored yet, and how a description that was cut off is mended."""

import json
import os
from pathlib import Path

import pytest

from agent.drivers.base import PendingUploads
from agent.drivers.rclone_cache import find_waiting, mend


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path


def keep(cache: Path, name: str, content: bytes, meta: str | None) -> Path:
    """Put one file and its description into the cache."""
    data, described = cache / "vfs" / "x" / name, cache / "vfsMeta" / "x" / name
    for path in (data, described):
        path.parent.mkdir(parents=True, exist_ok=True)
    data.write_bytes(content)
    if meta is not None:
        described.write_text(meta)
    return described


@pytest.mark.parametrize("meta", ["", "{", '{"Size": 5', None], ids=["empty", "cut", "cut later", "missing"])
def test_a_description_that_was_cut_off_is_written_anew(cache: Path, meta: str | None) -> None:
    """As one of a whole file that waits to be stored."""
    described = keep(cache, "sub/new", b"hello", meta)
    assert mend(cache) == ("x/sub/new",)
    found = json.loads(described.read_text())
    assert found["Dirty"] is True
    assert found["Size"] == 5
    assert found["Rs"] == [{"Pos": 0, "Size": 5}]
    assert mend(cache) == ()
    assert [path.name for path in described.parent.iterdir()] == ["new"]


def test_a_readable_description_is_left_alone(cache: Path) -> None:
    """Whatever it says."""
    clean = keep(cache, "clean", b"hello", '{"Dirty": false}')
    assert mend(cache) == ()
    assert clean.read_text() == '{"Dirty": false}'


def test_a_file_with_holes_is_never_sent(cache: Path) -> None:
    """Parts of it were never read from the remote: sending it would destroy what is there."""
    described = keep(cache, "partial", b"", "")
    with (cache / "vfs" / "x" / "partial").open("r+b") as file:
        file.truncate(1 << 20)
    assert mend(cache) == ()
    assert described.read_text() == ""


def test_a_file_that_changed_long_before_is_never_sent(cache: Path) -> None:
    """It was stored then, and the remote may have a newer one by now."""
    described = keep(cache, "old", b"hello", "")
    later_s = described.stat().st_mtime + 3600
    os.utime(described, (later_s, later_s))
    assert mend(cache) == ()


def test_waiting_files_are_counted_with_their_size(cache: Path) -> None:
    """Those that say so, and those of which nobody can say."""
    keep(cache, "dirty", b"12345", '{"Dirty": true}')
    keep(cache, "unknown", b"123", "")
    keep(cache, "clean", b"1", '{"Dirty": false}')
    assert find_waiting(cache) == PendingUploads(files=2, total_bytes=8)


def test_a_cache_that_is_not_there_holds_nothing(cache: Path) -> None:
    """A read-only share has none."""
    assert find_waiting(cache / "nowhere") == PendingUploads(files=0, total_bytes=0)
    assert mend(cache / "nowhere") == ()
