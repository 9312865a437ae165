"""
The calls of Linux that build, move and leave mount namespaces, for which Python has no names.

Loaded into the program that forks helpers, so it imports nothing but ``os`` and ``ctypes``.

Source:
    open_tree(2), move_mount(2), mount_setattr(2), pivot_root(2), setns(2), unshare(2), capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
"""The same numbers on every architecture; libc has no names for them before glibc 2.36."""
_NUMBERS: Final = {
    "x86_64": (56, 155, 50),
    "aarch64": (220, 41, 201),
    "riscv64": (220, 41, 201),
    "loongarch64": (220, 41, 201),
    "ppc64le": (120, 203, 329),
}
"""Numbers of clone(2) and pivot_root(2), which libc does not offer as we need them, and listen(2), by machine."""

_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_MOVE_BETWEEN_DESCRIPTORS: Final = 0x04 | 0x40
ATTRIBUTES: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8}
_MS_REC_PRIVATE: Final = 0x4000 | 1 << 18
_MS_PRIVATE: Final = 1 << 18
_MS_NOSUID_NODEV: Final = 2 | 4
_MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

_CLONE_PARENT, _SIGCHLD = 0x8000, 17
_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER: Final = 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_SECCOMP_RET_ALLOW, _SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000
_LAST_CAPABILITY_AT_MOST: Final = 63

HOLD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class _FilterStep(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_FilterStep))]


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


_libc = ctypes.CDLL(None, use_errno=True)
_libc_holding_gil = ctypes.PyDLL(None, use_errno=True)


def hold(path: str) -> int:
    """Open the directory *path* from the root on, following no symbolic link; nothing can be swapped in from now on."""
    fd = os.open("/", HOLD)
    for name in path.split("/"):
        if name:
            outer, fd = fd, _open_at(name, fd, path)
            os.close(outer)
    return fd


def _open_at(name: str, outer: int, path: str) -> int:
    try:
        return os.open(name, HOLD, dir_fd=outer)
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, path) from exc


def mount_id(fd: int) -> int:
    """Read on which mount *fd* lies; unlike ``fstat`` this asks no file system."""
    with open(f"/proc/self/fdinfo/{fd}") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def clone_tree(fd: int, path: str = "", *, is_recursive: bool = False) -> int:
    """Copy the mount that *fd* (or *path* below it) lies on, as a tree that is mounted nowhere yet."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if is_recursive else 0) | (0 if path else _AT_EMPTY_PATH)
    return _call(_OPEN_TREE, fd, os.fsencode(path), flags)


def restrict(tree: int, attributes: tuple[str, ...], *, is_recursive: bool = False, is_private: bool = True) -> None:
    """Give a tree *attributes* (``ro nosuid nodev noexec``), and keep mounts made elsewhere from showing in it."""
    wanted = _MountAttributes(sum(ATTRIBUTES[name] for name in attributes), 0, _MS_PRIVATE if is_private else 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if is_recursive else 0)
    _call(_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def attach(tree: int, at: int) -> None:
    """Mount a tree on the directory, or file, that *at* holds."""
    _call(_MOVE_MOUNT, tree, b"", at, b"", _MOVE_BETWEEN_DESCRIPTORS)


def detach(path: str) -> None:
    """Take the topmost mount at *path* out of the tree; who uses it keeps it until he lets go."""
    unmount(path, _MNT_DETACH)


def unmount(path: str, flags: int) -> None:
    """Call umount2(2)."""
    _check(_libc.umount2(os.fsencode(path), flags))


def mount(kind: str, at: str, options: str) -> None:
    """Mount a file system without a device at *at*, with nosuid and nodev."""
    name = kind.encode()
    _check(_libc.mount(name, os.fsencode(at), name, _MS_NOSUID_NODEV, options.encode()))


def unshare_mounts(*, with_ipc_and_name: bool = False) -> None:
    """Enter a mount namespace of our own, of which nothing shows elsewhere."""
    others = _CLONE_NEWUTS | _CLONE_NEWIPC if with_ipc_and_name else 0
    _check(_libc.unshare(_CLONE_NEWNS | others))
    _check(_libc.mount(None, b"/", None, _MS_REC_PRIVATE, None))


def enter_mounts(namespace: int) -> None:
    """Enter the mount namespace that *namespace* names; root and working directory become its own."""
    _check(_libc.setns(namespace, _CLONE_NEWNS))


def make_root() -> None:
    """Make the working directory, a mount, the root directory, and detach all that was mounted before."""
    _check(_libc.syscall(_numbers()[1], b".", b"."))
    unmount(".", _MNT_DETACH)
    os.chdir("/")


def fork_for_parent() -> int:
    """
    Fork a child of our parent: who started us can wait for it, and it does not end with us.

    Only for a process with one thread. Python's own bookkeeping of forks is left out: the child is to execute a
    program soon.
    """
    pid: int = _libc_holding_gil.syscall(_numbers()[0], _CLONE_PARENT | _SIGCHLD, 0, 0, 0, 0)
    return _check(pid)


def give_up_privileges(kept: frozenset[int]) -> None:
    """Have no program that follows gain privileges, and none have another capability than *kept*."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    for number in range(_LAST_CAPABILITY_AT_MOST + 1):
        if number in kept:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            if ctypes.get_errno() == errno.EINVAL:
                return  # beyond the last that this kernel knows
            _check(-1)


def pretend_to_listen() -> None:
    """
    Have listen(2) do nothing and report success, here and in every program that follows.

    Whoever connects is refused by the kernel, as on a port where nobody listens. Needs no_new_privs.

    Source:
        seccomp(2): SECCOMP_RET_ERRNO with errno 0.
    """
    steps = (_FilterStep * 4)(
        _FilterStep(_LOAD_NUMBER, 0, 0, 0),
        _FilterStep(_JUMP_IF_EQUAL, 0, 1, _numbers()[2]),
        _FilterStep(_RETURN, 0, 0, _SECCOMP_RET_ERRNO),
        _FilterStep(_RETURN, 0, 0, _SECCOMP_RET_ALLOW),
    )
    program = _Filter(len(steps), steps)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _numbers() -> tuple[int, int, int]:
    machine = os.uname().machine
    numbers = _NUMBERS.get(machine)
    if numbers is None:
        raise OSError(errno.ENOSYS, f"weft does not know the system calls of {machine}")
    return numbers


def _call(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(number, *arguments))


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
