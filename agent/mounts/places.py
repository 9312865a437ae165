"""Where a mount keeps its own files on the guest: private directory, cache, and what its client printed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.disk import open_regular, read_file, set_aside
from agent.drivers.base import MountCommand
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, redacted_share

OUTPUT_NAME = "client.log"
"""What the client prints; its alone, so it also tells which processes belong to the mount."""

TMP_NAME = "tmp"
"""In a share's cache: what its client sees as ``/tmp``."""

_PLACE_NAME = "mount-point"
_MAX_PLACE_BYTES = 4096
"""No path is longer."""

SHORT_NAME_LENGTH = 12
"""Of a private directory's name."""

MAX_OUTPUT_BYTES = 1 << 20
_KEPT_OUTPUT_BYTES = 1 << 16
"""Of an output file that is cut: enough for the story of a failure."""

_TAIL_BYTES = 8192
_TAIL_LINES = 20
_ENCODER = msgspec.json.Encoder(order="deterministic")


def short_name(share_id: ShareId) -> str:
    """Name a share in 12 hex digits: a UNIX socket's whole path must stay below 108 bytes, an id may have 128."""
    return hashlib.sha256(share_id.encode()).hexdigest()[:SHORT_NAME_LENGTH]


def private_root(run_dir: Path) -> Path:
    """Return the directory that holds all private directories."""
    return run_dir / "private"


def make_private_root(run_dir: Path) -> None:
    """
    Make the directory that holds all private directories; what lies there and is none is set aside.

    Raises:
        OSError: it cannot be made, so nothing can be mounted.
    """
    root = private_root(run_dir)
    if os.path.lexists(root) and not root.is_dir():
        set_aside(root, "it is no directory")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)


def private_dir(run_dir: Path, share_id: ShareId) -> Path:
    """Return the private directory of a share's mount."""
    return private_root(run_dir) / short_name(share_id)


def etc_dir(run_dir: Path) -> Path:
    """Return the directory that clients see as ``/etc``."""
    return run_dir / "etc"


def cache_root(state_dir: Path, share_id: ShareId) -> Path:
    """Return the directory that holds what is cached for a share, wherever its data lay over time."""
    return state_dir / "cache" / short_name(share_id)


def cache_dir(state_dir: Path, share: ShareMount) -> Path:
    """
    Return the cache of *share*: one for each place that its data may lie in.

    A client resumes the uploads it finds in its cache. Were the share pointed elsewhere and the cache kept, one place's
    files would be written to the other. Secrets and mount options do not tell places apart.
    """
    block = redacted_share(share).get(share.backend_name) or {}
    where = {key: value for key, value in block.items() if key != "options"} if isinstance(block, dict) else {}
    digest = hashlib.sha256(_ENCODER.encode([share.backend_name, where])).hexdigest()[:12]
    return cache_root(state_dir, share.share_id) / digest


def make_private(directory: Path, cache: Path, command: MountCommand, *, mount_point: str) -> None:
    """
    Make the private directory of a mount that is about to start, with all that its command asks for.

    Args:
        directory: The private directory; whatever an earlier mount left in it is removed.
        cache: The share's cache; kept if it exists.
        command: What it asks for.
        mount_point: Where it will stand; noted, see :func:`read_mount_point`.

    Raises:
        MountError: the guest's own disk refuses.
    """
    try:
        remove_private(directory)
        os.makedirs(directory.parent, mode=0o700, exist_ok=True)
        os.mkdir(directory, 0o700)
        if command.is_client:
            _make_directories(cache / TMP_NAME)
        for name in command.directories:
            _make_directories(directory / name)
        for name, target in command.links.items():
            (directory / name).parent.mkdir(mode=0o700, exist_ok=True)
            os.symlink(target, directory / name)
        for file in command.files:
            _write(directory / file.name, file.content)
        _write(directory / _PLACE_NAME, os.fsencode(mount_point))
    except OSError as exc:
        code = ErrorCode.NO_SPACE if exc.errno in _FULL else ErrorCode.INTERNAL
        raise MountError(
            f"cannot prepare {str(directory)!r}: {os.strerror(exc.errno or 0).lower()}", code=code
        ) from exc


_FULL = frozenset({28, 122})
"""ENOSPC and EDQUOT."""


def _make_directories(path: Path) -> None:
    missing = [path, *path.parents]
    for directory in reversed([part for part in missing if not part.exists()]):
        os.mkdir(directory, 0o700)


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)


def read_mount_point(directory: Path) -> str:
    """Read where the mount stands that a private directory belongs to; empty where there is none."""
    try:
        return os.fsdecode(read_file(directory / _PLACE_NAME, most_bytes=_MAX_PLACE_BYTES))
    except OSError:
        return ""


def remove_private(directory: Path) -> None:
    """
    Remove a private directory; it lies on the guest's own disk and holds no mount point.

    Raises:
        MountError: something of it cannot be removed.
    """
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise MountError(
            f"cannot remove {exc.filename or str(directory)!r}: {os.strerror(exc.errno or 0).lower()}"
        ) from exc


def cache_dirs(state_dir: Path, share_id: ShareId) -> tuple[Path, ...]:
    """List the caches of a share, one for each place that its data lay in."""
    root = cache_root(state_dir, share_id)
    return tuple(sorted(path for path in root.iterdir() if path.is_dir())) if root.is_dir() else ()


def remove_cache(state_dir: Path, share_id: ShareId) -> None:
    """Remove all that is cached for a share; may take long, so not on the event loop."""
    root = cache_root(state_dir, share_id)
    if root.exists():
        shutil.rmtree(root)


def read_output(directory: Path, log_files: Iterable[str] = ()) -> str:
    """Read the last lines of what a client printed and logged; not redacted yet."""
    texts = [_read_tail(directory / name) for name in (OUTPUT_NAME, *log_files)]
    return "\n".join(text for text in texts if text)


def output_size(directory: Path) -> int:
    """Return how much a client has printed, in bytes."""
    try:
        return (directory / OUTPUT_NAME).lstat().st_size
    except FileNotFoundError:
        return 0


def read_output_since(directory: Path, offset: int) -> str:
    """Read the last lines of what a client printed after the first *offset* bytes; not redacted yet."""
    return _read_tail(directory / OUTPUT_NAME, offset)


def trim_output(directory: Path) -> None:
    """
    Keep what a living client prints short: the run directory is memory.

    The client appends, so the file may be cut under it; a line that it prints in that very moment is lost.
    """
    try:
        fd = os.open(directory / OUTPUT_NAME, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        if size > MAX_OUTPUT_BYTES:
            tail = os.pread(fd, _KEPT_OUTPUT_BYTES, size - _KEPT_OUTPUT_BYTES)
            os.ftruncate(fd, 0)
            os.write(fd, tail)
    finally:
        os.close(fd)


def _read_tail(path: Path, offset: int = 0) -> str:
    """Read the end of what a client wrote, which is no reason to trust it: it may have left a link, or a pipe."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES, offset if offset <= size else 0))
            text = file.read(_TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(line.rstrip() for line in text.splitlines()[-_TAIL_LINES:] if line.strip())
