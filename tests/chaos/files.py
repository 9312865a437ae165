"""Files that users wrote and closed: remembered with their contents, and looked for wherever they may be by now."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.backends import Backends
from tests.chaos.model import Share

WRITE_S = 20.0
SIZE = 200_000


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file: who wrote it through which share, as it was then, and what is in it."""

    vm: str
    share: Share
    name: str
    checksum: str


class WrittenFiles:
    """Every file that was closed without an error."""

    def __init__(self) -> None:
        self.all: list[WrittenFile] = []

    async def write(self, vm: str, share: Share, mounted_at: Path, name: str) -> None:
        """Write a file into a share; one that cannot be written and closed is nobody's loss."""
        full_name = f"{vm}-{share.name}-{name}"
        data = full_name.encode() * (SIZE // len(full_name))
        try:
            await asyncio.wait_for(asyncio.to_thread(_write, mounted_at / full_name, data), WRITE_S)
        except OSError:
            return
        self.all.append(WrittenFile(vm, share, full_name, hashlib.sha256(data).hexdigest()))

    def find_lost(self, backends: Backends, directory: Path) -> Iterator[str]:
        """Name the files that are neither in their backend nor waiting in their guest's cache."""
        for file in self.all:
            if not self.is_stored(file, backends) and not _is_waiting(file, directory):
                yield f"{file.vm}: {file.name} of {file.share} was written and closed, and is lost"

    def find_unsent(self, backends: Backends) -> list[WrittenFile]:
        """List the files that are not in their backend."""
        return [file for file in self.all if not self.is_stored(file, backends)]

    @staticmethod
    def is_stored(file: WrittenFile, backends: Backends) -> bool:
        """Say whether the backend has all of a file."""
        return _has(backends.page(file.share.kind, file.share.page) / file.name, file.checksum)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def _is_waiting(file: WrittenFile, directory: Path) -> bool:
    caches = (directory / file.vm / "state" / "cache").glob(f"*/*/vfs/**/{file.name}")
    return any(_has(path, file.checksum) for path in caches)


def _has(path: Path, checksum: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == checksum
    except FileNotFoundError:
        return False
