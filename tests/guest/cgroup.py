"""A guest's own cgroup, in whichever hierarchies this machine has; two guests in one would share their units."""

from __future__ import annotations

import contextlib
from pathlib import Path

HIERARCHIES = Path("/sys/fs/cgroup")


class Cgroup:
    """
    A cgroup named *name*, with everything a guest's systemd makes below it.

    Args:
        name: Unique on this machine.
    """

    def __init__(self, name: str) -> None:
        self._directories = [root / name for root in _writable_roots()]
        assert self._directories, "this machine has no cgroup hierarchy that systemd could use"

    def make(self) -> None:
        """Make it."""
        for directory in self._directories:
            directory.mkdir()

    def entering(self, command: list[str]) -> list[str]:
        """Return *command* so that it first moves itself into the cgroup."""
        moves = "".join(f"echo $$ >'{directory}/cgroup.procs' && " for directory in self._directories)
        return ["sh", "-c", f'{moves}exec "$@"', "entering", *command]

    def remove(self) -> None:
        """Remove it, depth first; what still has processes stays and raises."""
        for directory in self._directories:
            below = sorted(directory.rglob("*/"), key=lambda path: len(path.parts), reverse=True)
            for path in [*below, directory]:
                with contextlib.suppress(FileNotFoundError):
                    path.rmdir()


def _writable_roots() -> list[Path]:
    if (HIERARCHIES / "cgroup.controllers").exists():
        return [HIERARCHIES]
    return [root for root in (HIERARCHIES / "systemd", HIERARCHIES / "unified") if root.is_dir()]
