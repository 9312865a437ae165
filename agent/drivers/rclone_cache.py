"""Reads, and mends, what rclone keeps on disk of files that are not stored in the remote yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.disk import read_file
from agent.drivers.base import PendingUploads

_DATA, _META = "vfs", "vfsMeta"
"""Two trees of the same shape: contents as far as they are cached, and a JSON object about each."""

_META_BYTES: Final = 4 << 20
"""Of a description: it lists which parts of a file are there."""

_FRESH_S: Final = 60.0
"""A description that was cut off was being written within seconds of the file's last change; rclone describes a file
as changed when the first byte is written, and again when it is closed."""


@dataclass(frozen=True, slots=True)
class CachedFile:
    """
    One file in the cache.

    Attributes:
        data: Its contents, possibly with holes where nothing was read from the remote yet.
        meta: Its description.
        description: What that says; None where it is missing or cut off.
    """

    data: Path
    meta: Path
    description: dict[str, Any] | None

    @property
    def is_waiting(self) -> bool:
        """Whether it holds what the remote may not have."""
        return self.description is None or bool(self.description.get("Dirty"))


def find_waiting(cache: Path) -> PendingUploads:
    """Count the files in *cache* that a client which is gone had not stored in the remote."""
    sizes = [file.data.stat().st_size for file in _files_in(cache) if file.is_waiting]
    return PendingUploads(files=len(sizes), total_bytes=sum(sizes))


def mend(cache: Path) -> tuple[str, ...]:
    """
    Describe files as waiting whose description a killed client left cut off.

    rclone (1.75.2) writes descriptions in place; one that it cannot read makes it delete the file at its next start,
    though it may be the only copy. Only complete files that had just been changed are touched: what was merely read
    and is older must not replace what the remote has by now.

    Args:
        cache: ``--cache-dir``; no client may be using it.

    Returns:
        What was mended, as paths in the cache.
    """
    mended = []
    for file in _files_in(cache):
        if file.description is None and _is_complete(file.data) and _is_fresh(file):
            _describe_as_waiting(file)
            mended.append(str(file.data.relative_to(cache / _DATA)))
    return tuple(mended)


def _files_in(cache: Path) -> Iterator[CachedFile]:
    """Yield what a client left, which may be anything: nothing that is, or lies behind, a link is looked at."""
    cache = cache.resolve()
    root = cache / _DATA
    if root.is_symlink():
        return
    for directory, _, names in os.walk(root):
        described_in = cache / _META / Path(directory).relative_to(root)
        if described_in.resolve() != described_in:
            continue
        for name in names:
            data, meta = Path(directory, name), described_in / name
            if stat.S_ISREG(data.lstat().st_mode) and not meta.is_symlink():
                yield CachedFile(data, meta, _read(meta))


def _read(meta: Path) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(read_file(meta, most_bytes=_META_BYTES), type=dict[str, Any])
    except (FileNotFoundError, IsADirectoryError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _is_complete(data: Path) -> bool:
    with data.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        return size == 0 or os.lseek(file.fileno(), 0, os.SEEK_HOLE) == size


def _is_fresh(file: CachedFile) -> bool:
    """Say whether *file* was changed just before its description was cut off, or never had one."""
    try:
        cut_off_s = file.meta.stat().st_mtime
    except FileNotFoundError:
        return True
    return cut_off_s - file.data.stat().st_ctime < _FRESH_S


def _describe_as_waiting(file: CachedFile) -> None:
    status = file.data.stat()
    changed = _rfc3339(status.st_mtime)
    description = {
        "ModTime": changed,
        "ATime": changed,
        "Size": status.st_size,
        "Rs": [{"Pos": 0, "Size": status.st_size}] if status.st_size else [],
        "Fingerprint": "",
        "Dirty": True,
    }
    file.meta.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.meta.with_name(f"{file.meta.name[:200]}.weft")
    draft.write_bytes(msgspec.json.encode(description))
    draft.replace(file.meta)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
