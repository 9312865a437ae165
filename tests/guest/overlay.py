"""A guest's files: its own, over layers that it shares with others and never writes to."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


class Overlay:
    """
    One overlay mount below *directory*.

    Args:
        directory: Holds the guest's own files, in ``upper``.
        layers: What lies below, the uppermost first.
    """

    def __init__(self, directory: Path, *, layers: Sequence[Path]) -> None:
        self.root = directory / "root"
        self.upper = directory / "upper"
        self._work = directory / "work"
        self._layers = layers

    def mount(self) -> None:
        """Mount it; own files of an earlier mount are found again."""
        for path in (self.root, self.upper, self._work):
            path.mkdir(parents=True, exist_ok=True)
        below = ":".join(map(str, self._layers))
        _run(
            "mount",
            "-t",
            "overlay",
            "-o",
            f"lowerdir={below},upperdir={self.upper},workdir={self._work}",
            "weft",
            self.root,
        )

    def unmount(self) -> None:
        """Unmount it; the guest must be off."""
        _run("umount", self.root)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}"
