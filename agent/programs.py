"""The programs of this guest: looked up when asked for, so that one installed later is found."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ALWAYS = ("fusermount3", "fusermount", "mount", "umount")


class Programs(Mapping[str, Path]):
    """
    Absolute paths by program name.

    Looks beside the running interpreter too, where wheels that carry a program put it.

    Args:
        names: What iterating shows, as far as it is installed.
        path: Directories to look in, separated by colons.
    """

    def __init__(self, names: Iterable[str], *, path: str | None = None) -> None:
        self._names = tuple(dict.fromkeys((*names, *ALWAYS)))
        searched = path if path is not None else os.environ.get("PATH", "")
        self._path = ":".join(part for part in (searched, SYSTEM_PATH, str(Path(sys.executable).parent)) if part)

    @property
    def directories(self) -> tuple[str, ...]:
        """Where it looks, absolute."""
        return tuple(part for part in self._path.split(":") if part.startswith("/"))

    def __getitem__(self, name: str) -> Path:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise KeyError(name)
        return Path(found).absolute()

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
