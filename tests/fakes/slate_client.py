"""A small FUSE client whose behaviour is chosen by name: it serves one file, or fails in one of the ways clients do."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import threading
import time

CONTENT = b"hello\n"


def main(mode: str, mount_point: str, source: str, moods: str = "") -> int:
    """Play *mode*; see the branches."""
    match mode:
        case "exit":
            print(f"cannot log in with {os.environ.get('SLATE_SECRET', '')}", flush=True)
            return 3
        case "never":
            return _wait()
        case "claim":
            os.write(int(os.environ["SLATE_STATUS_FD"]), b"")
            print("mounted", flush=True)
            return 0
        case "refuse":
            os.write(int(os.environ["SLATE_STATUS_FD"]), b"failed: no such volume")
            return _wait()
        case _:
            return _serve(mode, mount_point, source, moods)


def _wait() -> int:
    while True:
        signal.pause()


def _serve(mode: str, mount_point: str, source: str, moods: str) -> int:
    import mfusepy  # type: ignore[import-untyped]

    class Slate(mfusepy.Operations):  # type: ignore[misc]
        """One directory with one file."""

        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if path == "/hello":
                return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": len(CONTENT)}
            if path == "/below/trap":
                threading.Event().wait()
            if path == "/below":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            raise mfusepy.FuseOSError(errno.ENOENT)

        def readdir(self, path: str, fh: int) -> list[str]:
            if mode == "eio":
                raise mfusepy.FuseOSError(errno.EIO)
            return [".", "..", *(["hello", "below"] if path == "/" else [])]

        def open(self, path: str, flags: int) -> int:
            return 0

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return CONTENT[offset : offset + size]

    class Trapped(Slate):
        """A client that waits for an answer of its own, which never comes: SIGKILL does not end it."""

        def init(self, path: str) -> None:
            threading.Thread(target=os.stat, args=(f"{mount_point}/below/trap",), daemon=True).start()

    marker = f"{moods}.silent"  # while it exists, nothing is answered

    class Moody(Slate):
        """A client whose backend goes away and returns, and whose keys expire."""

        def statfs(self, path: str) -> dict[str, int]:
            while os.path.exists(marker):
                time.sleep(0.02)
            return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1}

        def readdir(self, path: str, fh: int) -> list[str]:
            if os.path.exists(f"{moods}.refused"):
                print("InvalidAccessKeyId", flush=True)
                raise mfusepy.FuseOSError(errno.EIO)
            return list(super().readdir(path, fh))

    is_trapped = mode == "trap"
    operations = Trapped() if is_trapped else Moody() if mode == "moody" else Slate()
    options = {"fsname": source, "subtype": "slate", "allow_other": True, "nothreads": not is_trapped}
    mfusepy.FUSE(operations, mount_point, foreground=True, **options)
    if mode == "stubborn":
        _wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
