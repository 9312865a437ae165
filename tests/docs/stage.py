"""
A machine for the tour: mounts, processes and network of its own, run as ``python stage.py SHELL…`` under unshare.

Nothing that is mounted, killed or listened on here is seen by the machine that runs the test.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys

SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
EMPTY = ("/run/weft", "/srv")


def bring_up_loopback() -> None:
    """Let 127.0.0.1 be reached."""
    with socket.socket() as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def empty_directories() -> None:
    """Cover what the tour writes to."""
    for path in EMPTY:
        os.makedirs(path, exist_ok=True)
        subprocess.run(("mount", "-t", "tmpfs", "tmpfs", path), check=True)


if __name__ == "__main__":
    bring_up_loopback()
    empty_directories()
    os.execvp(sys.argv[1], sys.argv[1:])
