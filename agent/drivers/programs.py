"""The programs that a driver's client needs: named when missing, found through a PATH of our own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from weft.errors import CommandNotFoundError, ErrorCode, MountError
from weft.wire.share import ShareMount

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def require_program(share: ShareMount, name: str, programs: Mapping[str, Path], packages: Mapping[str, str]) -> Path:
    """
    Return the path of the program *name*.

    Raises:
        CommandNotFoundError: this guest does not have it.
    """
    if name in programs:
        return programs[name]
    hint = f" (install the package {packages[name]})" if name in packages else ""
    raise CommandNotFoundError(f"cannot mount share {share.id!r}: {name} is not installed{hint}")


def fusermount_links(share: ShareMount, programs: Mapping[str, Path], name: str) -> dict[str, str]:
    """
    Return the links that give a client its FUSE helper under *name*, whichever generation the guest has.

    Raises:
        MountError: it has none.
    """
    for candidate in ("fusermount3", "fusermount"):
        if candidate in programs:
            return {f"bin/{name}": str(programs[candidate])}
    raise MountError(
        f"cannot mount share {share.id!r}: fusermount3 is not installed (install the package fuse3)",
        code=ErrorCode.FUSE_MISSING,
    )
