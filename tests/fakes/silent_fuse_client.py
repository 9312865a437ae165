"""A FUSE client that takes ``statfs`` requests and never answers one, as if its backend fell silent; ends by kill."""

from __future__ import annotations

import sys
import threading

import mfusepy  # type: ignore[import-untyped]


class SilentFiles(mfusepy.Operations):  # type: ignore[misc]
    """An empty directory that answers everything but ``statvfs``."""

    use_ns = True

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Describe the root, all there is."""
        if path != "/":
            raise mfusepy.FuseOSError(2)
        return {"st_mode": 0o040755, "st_nlink": 2}

    def statfs(self, path: str) -> dict[str, int]:
        """Say nothing, for as long as the process lives."""
        threading.Event().wait()
        raise AssertionError("nobody sets the event")


if __name__ == "__main__":
    mfusepy.FUSE(SilentFiles(), sys.argv[1], foreground=True, fsname="weft:silent:00000000")
