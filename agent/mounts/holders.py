"""Who keeps a mount busy, read from /proc without touching the mount; runs in a walker's helper, so ``os`` only."""

from __future__ import annotations

import os

AT_MOST = 64
"""Holders named for one mount: more would not be read, and the answer must fit one packet."""

_CHARACTERS_AT_MOST = 1000
"""Kept of a path: one has up to 4095 bytes, and with 64 of those the answer would fit none."""


def find_holders(path: str, proc: str = "/proc") -> list[tuple[int, str, str]]:
    """
    List processes with a working directory, root, program, open file or mapping at or below *path*.

    Only links are read, which the kernel answers from memory. Mappings come last and not of processes in
    uninterruptible sleep: reading ``maps`` of one that faults on a hung mount would hang too; its command line
    likewise, so ``comm`` names it. A process that ends meanwhile is left out.

    Returns:
        Pid, command, one path that it holds; at most :data:`AT_MOST`, one each.

    Source:
        proc_pid_fd(5), proc_pid_maps(5).
    """
    pids = [int(name) for name in os.listdir(proc) if name.isdigit()]
    found: dict[int, str] = {}
    for find in (_linked, _mapped):
        for pid in pids:
            if len(found) >= AT_MOST:
                break
            if pid not in found and (held := find(f"{proc}/{pid}", path)) is not None:
                found[pid] = held
    return [
        (pid, _read(f"{proc}/{pid}/comm").strip() or "?", held[:_CHARACTERS_AT_MOST])
        for pid, held in sorted(found.items())
    ]


def _linked(process: str, path: str) -> str | None:
    try:
        open_files = os.listdir(f"{process}/fd")
    except OSError:
        return None  # it ended, and its other links with it
    for name in ("cwd", "root", "exe", *(f"fd/{number}" for number in open_files)):
        try:
            target = os.readlink(f"{process}/{name}")
        except OSError:
            continue  # closed or ended meanwhile; a kernel thread has no program
        if _is_at_or_below(target, path):
            return target
    return None


def _mapped(process: str, path: str) -> str | None:
    state = _read(f"{process}/stat").rpartition(") ")[2][:1]
    if state in ("", "D", "Z"):
        return None
    for line in _read(f"{process}/maps").split("\n"):
        target = line[line.find("/") :] if "/" in line else ""
        if _is_at_or_below(target, path):
            return target
    return None


def _is_at_or_below(target: str, path: str) -> bool:
    return target == path or target.startswith(path.rstrip("/") + "/")


def _read(name: str) -> str:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        chunks = []
        while chunk := os.read(fd, 1 << 16):
            chunks.append(chunk)
        return os.fsdecode(b"".join(chunks))
    except OSError:
        return ""
    finally:
        os.close(fd)
