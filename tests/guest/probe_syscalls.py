"""Run by systemd in a guest, in the place of the agent: tries what its unit must allow and what not."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
import tempfile
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUTS, NEWIPC, NEWPID, NEWUSER, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x10000000, 0x40000000
AT_FDCWD, EMPTY_PATH, CLONE = -100, 0x1000, 1
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
PIVOT_ROOT, PIDFD_OPEN, PIDFD_GETFD, PIDFD_SEND_SIGNAL, SETNS = 155, 434, 438, 424, 308
CAPBSET_DROP, SET_NO_NEW_PRIVS = 24, 38


def call(number: int, *arguments: object) -> int:
    """Make a system call; raises what the kernel answers."""
    done = LIBC.syscall(number, *arguments)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(done)


def libc(name: str, *arguments: object) -> int:
    """Call a function of the C library; raises what the kernel answers."""
    done = getattr(LIBC, name)(*arguments)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(done)


def cage() -> None:
    """What a caged client needs: namespaces, a root of its own, and a mount made by the new calls."""
    libc("unshare", NEWNS | NEWIPC | NEWUTS)
    libc("mount", None, b"/", None, 0x44000, None)
    root = tempfile.mkdtemp().encode()
    filesystem = call(FSOPEN, b"tmpfs", 0)
    call(FSCONFIG, filesystem, 6, None, None, 0)
    mounted = call(FSMOUNT, filesystem, 0, 0)
    call(MOVE_MOUNT, mounted, b"", AT_FDCWD, root, 4)
    os.mkdir(root + b"/old")
    os.mkdir(root + b"/m")
    tree = call(OPEN_TREE, AT_FDCWD, root + b"/m", CLONE)
    call(MOUNT_SETATTR, tree, b"", EMPTY_PATH, (ctypes.c_uint64 * 4)(6, 0, 0, 0), 32)
    os.chdir(root)
    call(PIVOT_ROOT, b".", b"old")
    libc("umount2", b"/old", 2)
    libc("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc("prctl", CAPBSET_DROP, 27, 0, 0, 0)


def enter() -> None:
    """Go into another process's mount namespace, the kind being named."""
    descriptor = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    call(SETNS, descriptor, NEWNS)


def pidfd() -> None:
    """Watch and signal a process by its descriptor."""
    descriptor = call(PIDFD_OPEN, os.getpid(), 0)
    call(PIDFD_SEND_SIGNAL, descriptor, 0, None, 0)


def executable_memory() -> None:
    """Make memory that can be written and run."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def setuid_file() -> None:
    """Make a program that runs as root for everybody."""
    with tempfile.NamedTemporaryFile() as file:
        os.fchmod(file.fileno(), 0o4755)


TRIALS: dict[str, Callable[[], object]] = {
    "yes cage": cage,
    "yes enter": enter,
    "yes pidfd": pidfd,
    "yes pid namespace": lambda: libc("unshare", NEWPID),
    "yes unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "yes internet socket": lambda: socket.socket(socket.AF_INET6).close(),
    "yes netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "yes files of others": lambda: os.open("/home/pupil/.profile", os.O_RDWR),
    "no user namespace": lambda: libc("unshare", NEWUSER),
    "no network namespace": lambda: libc("unshare", NEWNET),
    "no namespace of an unnamed kind": lambda: call(SETNS, os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
    "no packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "no other socket": lambda: socket.socket(40, socket.SOCK_STREAM).close(),
    "no clock": lambda: libc("settimeofday", (ctypes.c_long * 2)(0, 0), None),
    "no host name": lambda: libc("sethostname", b"x", 1),
    "no module": lambda: call(175, b"", 0, b""),
    "no kernel": lambda: call(246, 0, 0, None, 0),
    "no reboot": lambda: call(169, 0, 0, 0, None),
    "no swap": lambda: libc("swapon", b"/x", 0),
    "no ports of devices": lambda: libc("iopl", 3),
    "no io_uring": lambda: call(425, 1, None),
    "no bpf": lambda: call(321, 0, None, 0),
    "no tracing": lambda: libc("ptrace", 0, 0, 0, 0),
    "no descriptors of others": lambda: call(PIDFD_GETFD, call(PIDFD_OPEN, os.getpid(), 0), 0, 0),
    "no memory of others": lambda: call(310, 1, None, 0, None, 0, 0),
    "no realtime": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "no personality": lambda: libc("personality", 8),
    "no executable memory": executable_memory,
    "no setuid file": setuid_file,
    "no device": lambda: os.mknod(tempfile.mktemp(), 0o020600, os.makedev(1, 1)),
    "no other user": lambda: os.setresuid(1000, 1000, 1000),
    "no owner": lambda: os.chown(tempfile.mkdtemp(), 1000, 1000),
}


def attempt(trial: Callable[[], object]) -> str:
    """Make one trial in a process of its own; return the name of the kernel's answer, or ``done``."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            trial()
            said = "done"
        except OSError as exc:
            said = errno.errorcode.get(exc.errno or 0, str(exc.errno))
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    return text or f"ended with {status}"


if __name__ == "__main__":
    with open(sys.argv[1], "w") as out:
        json.dump({name: attempt(trial) for name, trial in TRIALS.items()}, out)
