"""
The program that performs a mount(8) command line at directories it holds open, so that nobody can swap others in.

It opens the mount point, and a bind's source, from the root directory on, following no symbolic link. What is mounted
then lands on that very directory, whatever its path leads to by now. A bind is made here by system calls: mount(8)
makes it read-only in a second step, which finds it by its path. Everything else is left to mount(8), which is given the
descriptor instead of the path. A directory on a sick file system blocks nobody but this process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from contextlib import suppress
from typing import Final, NoReturn

_HOLD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""The same numbers on every architecture that anybody runs guests on; libc has no names for them before glibc 2.36."""

_AT_EMPTY_PATH: Final = 0x1000
_OPEN_TREE_CLONE: Final = 1
_MOVE_BETWEEN_DESCRIPTORS: Final = 0x04 | 0x40
_MNT_DETACH: Final = 2
_ATTRIBUTES: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8}
REPLACED: Final = "mount point was replaced while it was being mounted"


class _Refused(Exception):
    """What to print, in the words of mount(8), which drivers know."""


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def main(argv: list[str]) -> int:
    """
    Perform *argv*, in the form ``mount [-t TYPE] -o OPTIONS -- WHAT MOUNT_POINT``.

    Returns:
        The exit code; it does not return where mount(8) takes over.
    """
    what, mount_point = argv[-2:]
    options = argv[argv.index("-o") + 1].split(",")
    try:
        at = _hold_mount_point(mount_point)
        if "bind" in options:
            _bind(_hold_source(what), at, mount_point, options)
            return 0
        _hand_over(argv, at)
    except _Refused as refused:
        print(f"mount: {mount_point}: {refused}.", file=sys.stderr)
    except OSError as exc:
        print(f"mount: {mount_point}: {os.strerror(exc.errno or 0).lower()}.", file=sys.stderr)
    return 32


def _hold(path: str) -> int:
    fd = os.open("/", _HOLD)
    for name in path.split("/"):
        if name:
            outer, fd = fd, os.open(name, _HOLD, dir_fd=fd)
            os.close(outer)
    return fd


def _hold_mount_point(path: str) -> int:
    try:
        return _hold(path)
    except FileNotFoundError as exc:
        raise _Refused("mount point does not exist") from exc
    except NotADirectoryError as exc:
        raise _Refused(REPLACED) from exc


def _hold_source(path: str) -> int:
    try:
        return _hold(path)
    except FileNotFoundError as exc:
        raise _Refused(f"special device {path} does not exist") from exc
    except NotADirectoryError as exc:
        raise _Refused(f"{path}: not a directory") from exc


def _hand_over(argv: list[str], at: int) -> NoReturn:
    os.set_inheritable(at, True)
    os.execv(argv[0], [argv[0], "--no-canonicalize", *argv[1:-1], f"/proc/self/fd/{at}"])


def _bind(source: int, at: int, mount_point: str, options: list[str]) -> None:
    """Show *source* at *at*: restricted before anybody can see it, and gone again if that is not its place any more."""
    tree = _call(_OPEN_TREE, source, b"", _AT_EMPTY_PATH | _OPEN_TREE_CLONE | os.O_CLOEXEC)
    wanted = _Attributes(sum(_ATTRIBUTES.get(option, 0) for option in options))
    _call(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.sizeof(wanted))
    _call(_MOVE_MOUNT, tree, b"", at, b"", _MOVE_BETWEEN_DESCRIPTORS)
    if not _is_in_place(tree, mount_point):
        _libc().umount2(f"/proc/self/fd/{tree}".encode(), _MNT_DETACH)
        raise _Refused(REPLACED)


def _is_in_place(tree: int, mount_point: str) -> bool:
    """
    Say whether *mount_point* leads to what was just mounted.

    What is mounted on cannot be renamed any more, but a rename that was under way still comes to its end. It holds the
    directory above until then; a rename of nothing to the same waits for that, unless nobody may rename there at all.
    """
    above, _, name = mount_point.rpartition("/")
    try:
        parent = _hold(above)
        with suppress(OSError):
            os.rename(name, name, src_dir_fd=parent, dst_dir_fd=parent)
        return _mount_id(_hold(mount_point)) == _mount_id(tree)
    except OSError:
        return False


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc().syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        if error == errno.ENOSYS:
            raise _Refused("kernel older than 5.12")
        raise OSError(error, os.strerror(error))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
