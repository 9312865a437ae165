"""A user of the guest who swaps his directory for a symbolic link and back, as fast as he can."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_NOBODY = 65534
_AT_FDCWD, _EXCHANGE = -100, 2


@asynccontextmanager
async def swapping(directory: Path, *, target: Path) -> AsyncIterator[None]:
    """
    Swap *directory*, which is made in a directory of the user's own, for a link to *target*, all the time.

    A directory that something is mounted on cannot be renamed, so he pauses while his directory is mounted.
    """
    for made in (directory.parent, directory):
        made.mkdir(exist_ok=True)
        os.chown(made, _NOBODY, _NOBODY)
    link = directory.with_name("link")
    link.symlink_to(target)
    os.lchown(link, _NOBODY, _NOBODY)
    user = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        directory.name,
        link.name,
        stdout=asyncio.subprocess.PIPE,
        cwd=directory.parent,
    )
    assert user.stdout is not None
    try:
        await user.stdout.readline()
        yield
    finally:
        user.kill()
        await user.wait()


def _swap_for_ever(one: str, other: str) -> None:
    libc = ctypes.CDLL(None)
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    print("swapping", flush=True)
    while True:
        libc.renameat2(_AT_FDCWD, one.encode(), _AT_FDCWD, other.encode(), _EXCHANGE)


if __name__ == "__main__":
    _swap_for_ever(*sys.argv[1:])
