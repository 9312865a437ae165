"""Where a process listens on loopback, read from /proc: for clients that choose their control port themselves."""

from __future__ import annotations

import os
from pathlib import Path

_LISTENING = "0A"
_LOOPBACK = "0100007F"
"""127.0.0.1 as the kernel prints it: the bytes of the address as one little-endian word."""


def find_loopback_ports(pid: int) -> tuple[int, ...]:
    """
    List the TCP ports on 127.0.0.1 that the process *pid* accepts connections on, lowest first.

    Source:
        proc_pid_net(5), proc_pid_fd(5).
    """
    try:
        table = Path(f"/proc/{pid}/net/tcp").read_text()
    except OSError:
        return ()
    inodes = _socket_inodes(pid)
    return tuple(sorted(port for port, inode in _parse_listeners(table) if inode in inodes))


def _parse_listeners(table: str) -> list[tuple[int, str]]:
    """Return port and inode of each socket in the text of ``/proc/net/tcp`` that listens on loopback."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        address, _, port = fields[1].partition(":")
        if fields[3] == _LISTENING and address == _LOOPBACK:
            found.append((int(port, 16), fields[9]))
    return found


def _socket_inodes(pid: int) -> set[str]:
    inodes = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = _target(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return set()  # it ended
    return inodes


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # closed meanwhile
