"""The run directory: one agent at a time, and nobody else."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from weft.errors import ConfigError

LOCK_NAME = "agent.lock"
_LOCK_MODE = 0o600
"""Whoever can open it can lock it, also for reading, and would keep every agent from starting."""


class RunDirLock:
    """
    Keep a second agent away from *directory* for as long as this process lives.

    Args:
        directory: The run directory; made (0755) if missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def take(self) -> None:
        """
        Take the lock.

        Raises:
            ConfigError: Another agent has it, or the directory cannot be used, or others could change what lies in it.
        """
        path = self._directory / LOCK_NAME
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._refuse_others()
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _LOCK_MODE)
            os.fchmod(self._fd, _LOCK_MODE)
        except OSError as exc:
            raise ConfigError([f"run_dir: cannot use {self._directory}: {exc.strerror}"]) from exc
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            self.release()
            who = f"another program (pid {holder or 'unknown'})"
            raise ConfigError([f"run_dir: {who} uses {self._directory}; give this one a run_dir of its own"]) from exc
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def _refuse_others(self) -> None:
        found = self._directory.stat()
        is_ours = found.st_uid in (0, os.geteuid())
        if not is_ours or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                [
                    f"run_dir: others may change what lies in {self._directory} (uid {found.st_uid}, "
                    f"mode {stat.S_IMODE(found.st_mode):04o}); chown it to root and chmod it to 0755, or give another"
                ]
            )

    def release(self) -> None:
        """Let another agent have it; twice is the same as once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
