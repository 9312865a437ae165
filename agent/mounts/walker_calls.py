"""The calls that can walk into a mount, each made in a helper process of its own, which may hang and closes nothing."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from agent.mounts import cage_calls, syscalls
from agent.mounts.holders import find_holders

ENTRIES_AT_MOST: Final = 256
"""Names listed of one directory: enough to tell ours from foreign ones, and they fit one packet."""

_WALK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_INODE_BITS: Final = 2**63 - 1
"""What is kept of one: as much as the ledger's numbers hold."""

_FUSECTL: Final = "/sys/fs/fuse/connections"


def probe(path: str) -> None:
    """Ask the file system itself: a warm cache answers ``stat`` for a dead mount too."""
    os.statvfs(path)


def read_root(path: str, limit: int) -> list[str]:
    """Read the first names of the directory *path*, no more than *limit*."""
    names: list[str] = []
    with os.scandir(path) as listing:
        for entry in listing:
            names.append(entry.name)
            if len(names) >= limit:
                break
    return names


def inspect(path: str, root: str | None, resolved_root: str | None) -> dict[str, Any]:
    """
    Walk to *path* without following a symbolic link below *root*; the fields of ``PathFacts``.

    Args:
        path: Absolute and normalised.
        root: The allowed root that holds it; None walks from ``/``.
        resolved_root: What *root* was resolved to earlier; None resolves it now.
    """
    at = "/" if root is None else resolved_root or os.path.realpath(root)
    names = _names(path[len(root or "") :])
    facts: dict[str, Any] = {
        "path": path,
        "resolved_root": None if root is None else at,
        "resolved_path": "/".join((at.rstrip("/"), *names)) or "/",
    }
    try:
        fd = os.open(at, _WALK)
        for name in names:
            inner = "/".join((at.rstrip("/"), name))
            try:
                fd = os.open(name, _WALK, dir_fd=fd)
            except NotADirectoryError:
                break
            except FileNotFoundError:
                at = inner
                raise
            at = inner
    except FileNotFoundError:
        return facts | {"kind": "missing", "ended_at": at}
    mode = os.fstat(fd).st_mode
    facts |= {"kind": _kind(mode), "ended_at": at, "mode": stat.S_IMODE(mode)}
    if stat.S_ISLNK(mode):
        facts["symlink_at"] = at
    if stat.S_ISDIR(mode):
        names_in_it = read_root(f"/proc/self/fd/{fd}/.", ENTRIES_AT_MOST)
        facts["entries"] = tuple(sorted(name for name in names_in_it if not _is_empty_directory(fd, name)))
    return facts


def _is_empty_directory(parent: int, name: str) -> bool:
    """Say whether *name* is a directory with nothing in it; what is mounted there is not looked at."""
    try:
        fd = os.open(name, _WALK | os.O_DIRECTORY, dir_fd=parent)
    except OSError:
        return False
    try:
        return syscalls.mount_id(fd) == syscalls.mount_id(parent) and not read_root(f"/proc/self/fd/{fd}/.", 1)
    except OSError:
        return False
    finally:
        os.close(fd)


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "dir"
    if stat.S_ISLNK(mode):
        return "symlink"
    return "file" if stat.S_ISREG(mode) else "other"


def make_directories(path: str, mode: int) -> list[str]:
    """
    Make *path* and what is missing above it, following no symbolic link; undo all of it if one cannot be made.

    Returns:
        The directories made, outermost first.

    Raises:
        OSError: its file name is the directory in which, or at which, it ended.
    """
    os.umask(0)
    made: list[tuple[int, str, str]] = []
    fd, at, where = os.open("/", _WALK), "", "/"
    try:
        for name in _names(path):
            parent, at = at or "/", f"{at}/{name}"
            where = at
            try:
                inner = os.open(name, _WALK | os.O_DIRECTORY, dir_fd=fd)
            except FileNotFoundError:
                where = parent
                try:
                    os.mkdir(name, mode, dir_fd=fd)
                    made.append((fd, name, at))
                except FileExistsError:
                    pass  # somebody else made it meanwhile, so it is theirs
                where = at
                inner = os.open(name, _WALK | os.O_DIRECTORY, dir_fd=fd)
            fd = inner
    except OSError as exc:
        _undo(made)
        raise OSError(exc.errno, exc.strerror, where) from exc
    return [directory for _, _, directory in made]


def _undo(made: list[tuple[int, str, str]]) -> None:
    for fd, name, _ in reversed(made):
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError:
            return  # somebody put something in: it is in use, and so are those above


def set_mode(path: str, mode: int) -> None:
    """Set the permissions of the directory *path*, reached over no symbolic link."""
    fd = os.open("/", _WALK)
    for name in _names(path):
        fd = os.open(name, _WALK | os.O_DIRECTORY, dir_fd=fd)
    os.chmod(f"/proc/self/fd/{fd}", mode)


def remove_directory(path: str) -> bool:
    """Remove the empty directory *path*, reached over no symbolic link; False where that cannot be, for any cause."""
    *above, name = _names(path)
    fd = os.open("/", _WALK)
    try:
        for part in above:
            fd = os.open(part, _WALK | os.O_DIRECTORY, dir_fd=fd)
        os.rmdir(name, dir_fd=fd)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EROFS):
            return False
        raise
    return True


def unmount(path: str, flags: int, mount_id: int) -> None:
    """
    Call umount2(2) for the mount with this id, if *path* leads to it, and to nothing on it, over no symbolic link.

    The directory above is held, so that nothing else can be put in its place. The mount is not: it would be busy.
    """
    above, _, name = path.rpartition("/")
    outer = syscalls.hold(above)
    inner = os.open(name, syscalls.HOLD, dir_fd=outer)
    found = syscalls.mount_id(inner)
    os.close(inner)
    if found != mount_id:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    syscalls.unmount(f"/proc/self/fd/{outer}/{name}", flags | syscalls.UMOUNT_NOFOLLOW)


def find_root_inode(path: str, mount_id: int) -> int:
    """Read the inode of the directory that the mount with this id shows at *path*, reached over no symbolic link."""
    fd = syscalls.hold(path)
    if syscalls.mount_id(fd) != mount_id:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return os.fstat(fd).st_ino & _INODE_BITS


def abort(connection: str) -> None:
    """Abort the FUSE connection of this number: everybody who waits for its client gets an error."""
    directory = f"{_FUSECTL}/{connection}"
    if not os.path.isdir(directory):
        try:
            syscalls.mount("fusectl", _FUSECTL, "")
        except OSError as exc:
            if exc.errno != errno.EBUSY:  # EBUSY: it was mounted, the connection is what is missing
                raise
    fd = os.open(f"{directory}/abort", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, b"1")


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


CALLS: Final[dict[str, Callable[..., Any]]] = {
    "probe": probe,
    "read_root": read_root,
    "inspect": inspect,
    "make_directories": make_directories,
    "set_mode": set_mode,
    "remove_directory": remove_directory,
    "unmount": unmount,
    "find_root_inode": find_root_inode,
    "abort": abort,
    "find_holders": find_holders,
    "take_over": cage_calls.take_over,
    "perform_mount": cage_calls.perform_mount,
}
