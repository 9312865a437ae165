"""The files of a mount: each call is passed to a directory on disk, or held while the cluster is stalled."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import mfusepy  # type: ignore[import-untyped]

STALL_POLL_S = 0.02
MAX_READ = 262_144


class Stall:
    """
    Holds calls while a marker file exists, as stopped metanodes do.

    Args:
        marker: The file whose presence means stalled.
        timeout_s: Seconds until a held call fails with ETIME; 0 holds it for ever.
    """

    def __init__(self, marker: Path, *, timeout_s: float) -> None:
        self.marker = marker
        self.timeout_s = timeout_s

    def wait(self) -> None:
        """Return as soon as the cluster answers."""
        deadline_s = time.monotonic() + self.timeout_s
        while self.marker.exists():
            if self.timeout_s and time.monotonic() > deadline_s:
                raise OSError(errno.ETIME, os.strerror(errno.ETIME))
            time.sleep(STALL_POLL_S)


class Passthrough(mfusepy.Operations):  # type: ignore[misc]
    """File operations below *root*; the root's own attributes and statfs answer during a stall, from the cache."""

    use_ns = True

    def __init__(self, root: Path, stall: Stall) -> None:
        self.root = os.fspath(root)
        self.stall = stall

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        conn_info.max_read = MAX_READ  # must equal the mount's own

    def _real(self, path: str) -> str:
        self.stall.wait()
        return self.root + path

    def _give_to_caller(self, real: str) -> None:
        uid, gid, _ = mfusepy.fuse_get_context()
        os.chown(real, uid, gid, follow_symlinks=False)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            status = os.lstat(self.root)
        elif fh is not None:
            self.stall.wait()
            status = os.fstat(fh)
        else:
            status = os.lstat(self._real(path))
        seen = {
            name: getattr(status, name)
            for name in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_rdev", "st_blocks")
        }
        return seen | {f"st_{which}time": getattr(status, f"st_{which}time_ns") for which in "amc"}

    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self.root)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_namemax")
        return {name: getattr(status, name) for name in names} | {"f_ffree": 2**63 - 1, "f_favail": 2**63 - 1}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._real(path))]

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path))

    def mknod(self, path: str, mode: int, dev: int) -> int:
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        os.mknod(self._real(path), mode, dev)
        self._give_to_caller(self.root + path)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._real(path))
        os.chmod(self.root + path, mode)
        self._give_to_caller(self.root + path)
        return 0

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self._real(target))
        self._give_to_caller(self.root + target)
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self.root + source, self._real(target), follow_symlinks=False)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._real(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._real(path))
        return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        os.rename(self._real(old), self.root + new)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._real(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._real(path), uid, gid, follow_symlinks=False)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._real(path), ns=times or (time.time_ns(),) * 2, follow_symlinks=False)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        handle = os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)
        self._give_to_caller(self.root + path)
        return handle

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags & ~(os.O_APPEND | os.O_CREAT | os.O_EXCL))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self.stall.wait()
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self.stall.wait()
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._real(path) if fh is None else fh, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self.stall.wait()
        os.fsync(fh)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


def serve(device: int, operations: Passthrough, *, attr_valid_s: float, lookup_valid_s: float) -> None:
    """
    Answer the kernel on *device*, a mounted ``/dev/fuse``, until the mount is gone.

    libfuse takes the name ``/dev/fd/N`` for "this is mounted already".
    """
    mfusepy.FUSE(
        operations,
        f"/dev/fd/{device}",
        foreground=True,
        max_read=MAX_READ,
        attr_timeout=attr_valid_s,
        entry_timeout=lookup_valid_s,
        negative_timeout=0,
    )
