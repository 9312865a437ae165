"""Files of the agent's own: written as a whole or not at all, read within bounds, set aside when damaged."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

import structlog

MAX_FILE_BYTES = 32 << 20
"""Above any state that is accepted: a message has 8 MiB at most, and its shares are kept with a few words each."""

KEPT_ASIDE = 5
"""Damaged files kept of one name: the first four, which tell how it began, and the latest."""

log = structlog.get_logger("weft.ledger")


def write_atomically(path: Path, data: bytes, *, is_synced: bool) -> None:
    """
    Replace *path*; whoever reads it sees the old text or the new one.

    Args:
        path: What to replace.
        data: Its text from now on.
        is_synced: Whether it must survive a power cut, and not only the end of this process.

    Raises:
        OSError: the old text stands.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if is_synced:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def read_file(path: Path, *, most_bytes: int = MAX_FILE_BYTES) -> bytes:
    """
    Read a regular file, whatever may lie in its place: a pipe would keep the reader waiting, a device never ends.

    Args:
        path: What to read; links are followed.
        most_bytes: More is refused.

    Raises:
        OSError: It is not there, cannot be read, is no file or is too large.
    """
    with _open(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes", str(path))
    return data


def open_regular(path: Path) -> BinaryIO:
    """
    Open a regular file that somebody else wrote, in whose directory he may have left anything.

    Raises:
        OSError: It is not there, or it is a link, a pipe, a device or a directory.
    """
    return _open(path, os.O_NOFOLLOW)


def _open(path: Path, flags: int = 0) -> BinaryIO:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return os.fdopen(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def set_aside(path: Path, why: str, *, is_kept: bool = False) -> str:
    """
    Move a damaged file of the agent's own out of the way, and say so once.

    Args:
        path: The file, or whatever lies in its place.
        why: What is wrong with it.
        is_kept: Whether it also stays where it is, being of use in part; its next version replaces it.

    Returns:
        One sentence for the operator.
    """
    aside = _place_aside(path)
    try:
        _remove(aside)
        if is_kept:
            os.link(path, aside)
        else:
            path.rename(aside)
    except OSError as exc:
        told = f"{path} cannot be used, nor set aside ({exc.strerror}): {why}"
        log.error("ledger.set_aside", path=str(path), error=told)
        return told
    log.error("ledger.set_aside", path=str(aside), error=why)
    return f"{path} was set aside as {aside.name}: {why}"


def _place_aside(path: Path) -> Path:
    places = [path.with_name(f"{path.name}.corrupt-{number + 1}") for number in range(KEPT_ASIDE)]
    return next((place for place in places if not os.path.lexists(place)), places[-1])


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
