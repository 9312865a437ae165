"""What shares show: a real S3 server, a stand-in CubeFS cluster and plain directories, each with the same two pages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.chaos.model import PAGES, PLACES, Kind, Share
from tests.parts.cubefs import CubefsCluster
from tests.parts.rclone_servers import RcloneServer
from weft.wire.share import ShareMount, parse_share

SIGN = "who.txt"
"""The file in the root of each page that says which page it is."""

VOLUME, OWNER, BUCKET = "team", "alpha", "bucket"


class Backends:
    """
    Everything that can be mounted.

    Args:
        directory: A temporary directory.
    """

    def __init__(self, directory: Path) -> None:
        self.s3 = RcloneServer.s3(directory)
        self.cubefs = CubefsCluster(directory)
        self.bind_root = directory / "sources"
        self._volume = directory
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.s3)
            await stack.enter_async_context(self.cubefs)
            self._volume = self.cubefs.add_volume(VOLUME, owner=OWNER)
            for kind in Kind:
                for page in PAGES:
                    _fill(self.page(kind, page), f"{kind}-{page}")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def page(self, kind: Kind, page: str) -> Path:
        """Return the directory in which the files of a page really lie."""
        roots: Mapping[Kind, Path] = {
            Kind.S3: self.s3.root / BUCKET,
            Kind.CUBEFS: self._volume,
            Kind.BIND: self.bind_root,
        }
        return roots[kind] / page

    def build(self, share: Share, root: str) -> ShareMount:
        """
        Build the share that is published.

        Args:
            share: What is wanted.
            root: Directory of mount points, the same for every guest but for ``{vm}``.
        """
        blocks: Mapping[Kind, tuple[str, dict[str, Any]]] = {
            Kind.S3: (
                "rclone",
                {
                    "type": "s3",
                    "path": f"{BUCKET}/{share.page}",
                    "config": self.s3.config,
                    "options": {"vfs-write-back": "1s"},
                },
            ),
            Kind.CUBEFS: (
                "cubefs",
                {"volume": VOLUME, "masters": self.cubefs.masters, "owner": OWNER, "subdir": share.page},
            ),
            Kind.BIND: ("bind", {"source": str(self.page(Kind.BIND, share.page))}),
        }
        backend, block = blocks[share.kind]
        return parse_share(
            {
                "id": share.name,
                "backend": backend,
                "mount_point": f"{root}/{share.place}",
                "priority": share.priority,
                backend: block,
            }
        )


def _fill(directory: Path, sign: str) -> None:
    """Make a page with its sign, and with the directories in which other shares may be mounted."""
    directory.mkdir(parents=True)
    (directory / SIGN).write_text(sign)
    names = {path for place in PLACES for path in _inner(place)}
    for name in sorted(names):
        (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / name / ".keep").write_text("")  # S3 knows no empty directories
    for path in (directory, *(each for each in directory.rglob("*") if each.is_dir())):
        path.chmod(0o777)


def _inner(place: str) -> list[str]:
    """List the paths at which *place* may lie in a share that is mounted above it."""
    parts = place.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]
