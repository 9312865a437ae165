"""How the client mounts: it asks ``mount`` what is there and lets ``fusermount`` do it, both by name from PATH."""

from __future__ import annotations

import array
import os
import shutil
import socket
import subprocess

from tests.fakes.cfs_client.options import MountOptions
from tests.fakes.cfs_client.passthrough import MAX_READ


class MountFailure(Exception):
    """The client cannot mount; the text is the client's."""


def check_not_mounted(mount_point: str) -> None:
    """
    Refuse a mount point that ``mount`` lists.

    The third word of each line is compared as text, so a mount point with a space is never recognised.
    """
    program = shutil.which("mount")
    if program is None:
        raise MountFailure("failed to execute mount")
    listing = subprocess.run([program], capture_output=True, text=True, errors="surrogateescape")
    if listing.returncode != 0:
        raise MountFailure("failed to execute mount")
    for line in listing.stdout.splitlines():
        words = line.split()
        if len(words) >= 3 and words[2] == mount_point:
            raise MountFailure(f"mountpoint:{mount_point} has been mounted")


def mount(options: MountOptions) -> int:
    """
    Mount and return the descriptor of ``/dev/fuse``.

    Raises:
        MountFailure: ``fusermount`` is missing or refused.
    """
    program = shutil.which("fusermount")
    if program is None:
        raise MountFailure('fusermount: exec: "fusermount": executable file not found in $PATH')
    if os.path.islink(options.mount_point):
        raise MountFailure("fusermount: exit status 1")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        words = [program, "-o", _mount_flags(options), "--", options.mount_point]
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        done = subprocess.run(words, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise MountFailure(f"fusermount: exit status {done.returncode}")
        return _receive_descriptor(ours)


def _mount_flags(options: MountOptions) -> str:
    name = options.file_system_name.replace("\\", "\\\\").replace(",", "\\,")
    flags = ["allow_other", f"max_read={MAX_READ}", f"fsname={name}"]
    if options.has_subtype:
        flags.append("subtype=cubefs")
    if options.is_read_only:
        flags.append("ro")
    if options.checks_permissions:
        flags.append("default_permissions")
    return ",".join(flags)


def _receive_descriptor(channel: socket.socket) -> int:
    _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(array.array("i").itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return array.array("i", data)[0]
    raise MountFailure("fusermount: no descriptor received")
