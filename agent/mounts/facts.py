"""What the walker's helpers find out about a path, as values."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class PathKind(enum.StrEnum):
    """What a walk that follows no symbolic link met last."""

    MISSING = "missing"
    DIRECTORY = "dir"
    FILE = "file"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFacts:
    """
    What lies at a path, found without following any symbolic link below its root.

    Attributes:
        path: What was asked for.
        kind: What is at *ended_at*.
        ended_at: Where the walk ended: the path itself, or the first component on the way that is missing, a symbolic
            link or no directory. Below the resolved root.
        symlink_at: *ended_at* if that is a symbolic link, else None.
        resolved_root: The allowed root that *path* lies in, its own links resolved; None where no root holds *path*.
        resolved_path: *path* with that root resolved: where a mount would really stand in mountinfo.
        entries: Names in a directory, sorted, at most a few hundred; an empty directory is none, for it hides nothing.
        mode: Permission bits of what is at *ended_at*, 0 if missing.
    """

    path: str
    kind: PathKind
    ended_at: str
    symlink_at: str | None = None
    resolved_root: str | None = None
    resolved_path: str
    entries: tuple[str, ...] = ()
    mode: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """
    A process that keeps a mount busy.

    Attributes:
        pid: Its process id.
        command: Its name as the kernel keeps it, at most 15 characters.
        path: One path on the mount that it holds: working directory, root, program, open file or mapping.
    """

    pid: int
    command: str
    path: str


def describe_holders(holders: Sequence[Holder], *, at_most: int = 8) -> str:
    """Say who holds what, one per line; ``""`` for nobody."""
    lines = [f"pid {holder.pid} ({holder.command}) holds {holder.path}" for holder in holders[:at_most]]
    if len(holders) > at_most:
        lines.append(f"and {len(holders) - at_most} more")
    return "\n".join(lines)
