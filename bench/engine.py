"""The guest's engine on this machine, with two small clients: one that speaks FUSE, and one that mounts at once."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, ClassVar

from agent.actual import LiveMount
from agent.drivers.base import Driver, Failure, MountCommand, MountContext
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.parts import Limits
from agent.mounts.policy import Policy
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from agent.supervise.identity import read_boot_id
from bench.children import fuse_client
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import Block, register_block
from weft.wire.fields import declare
from weft.wire.ids import ShareId
from weft.wire.share import Action, ShareMount, parse_share

LIMITS = Limits(exit_s=0.2, signal_s=2.0)
"""A tmpfs has no client that could notice its unmount, so waiting for one is not worth the default."""
INSTANT = 'mount -t tmpfs -o size=4k "$1" "$2" && exec sleep 600'


class BenchBlock(Block, frozen=True, kw_only=True):
    """Which of the two clients."""

    client: Annotated[str, declare("fuse or instant.")] = "instant"


register_block("bench", BenchBlock)


class BenchDriver(Driver):
    """The driver of both clients."""

    name = "bench"
    block: ClassVar[type[Block]] = BenchBlock

    def build(self, context: MountContext) -> MountCommand:
        """Run the client that the share names."""
        block = context.share.block
        assert isinstance(block, BenchBlock)
        note = notes_in(context.private_dir.parents[2]) / context.share.id
        return MountCommand(
            argv=client_argv(block.client, context.share.mount_point, context.source, note),
            fs_types=frozenset({"fuse.bench", "tmpfs"}),
            source=context.source,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Say what happened."""
        return MountError(f"cannot mount: {failure}", code=ErrorCode.EXITED, detail=failure.output)


def client_argv(client: str, path: str, source: str, note: Path) -> tuple[str, ...]:
    """Return the command of a client, which is the same with and without an engine."""
    if client == "fuse":
        return (sys.executable, "-I", "-S", fuse_client.__file__, path, source, str(note))
    return ("/bin/sh", "-c", INSTANT, "sh", source, path)


def notes_in(directory: Path) -> Path:
    """Name the directory in which clients note when their mounts were up."""
    return directory / "notes"


def note_of(mount_point: Path) -> Path:
    """Name the note of the client of a share that is named like its mount point."""
    return notes_in(mount_point.parent.parent) / mount_point.name


def bench_share(share_id: str, mount_point: Path, client: str) -> ShareMount:
    """Build a share of one of the clients."""
    fields = {"id": share_id, "backend": "bench", "mount_point": str(mount_point), "bench": {"client": client}}
    return parse_share(fields)


class LiveRecords:
    """The record of live mounts, in memory."""

    def __init__(self) -> None:
        self._mounts: dict[ShareId, LiveMount] = {}

    def live(self) -> list[LiveMount]:
        """Return every record."""
        return list(self._mounts.values())

    def find_live(self, share_id: ShareId) -> LiveMount | None:
        """Return one record."""
        return self._mounts.get(share_id)

    def record_live(self, mount: LiveMount) -> None:
        """Keep a record."""
        self._mounts[mount.share_id] = mount

    def forget_live(self, share_id: ShareId) -> None:
        """Drop a record."""
        self._mounts.pop(share_id, None)


@asynccontextmanager
async def running_engine() -> AsyncIterator[tuple[MountEngine, MountTableWatcher, Path]]:
    """Run an engine; the path is the root below which it may mount, and everything is unmounted at the end."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as name, MountTableWatcher() as table:
        directory = Path(name)
        root = directory / "shares"
        root.mkdir()
        notes_in(directory).mkdir()
        records = LiveRecords()
        async with Walker() as walker:
            engine = MountEngine(
                drivers={"bench": BenchDriver()},
                programs={},
                walker=walker,
                table=table,
                policy=Policy(roots=(str(root),), source_roots=()),
                live=records,
                resolve=lambda share: share,
                run_dir=directory / "run",
                state_dir=directory / "state",
                boot_id=read_boot_id(),
                on_change=lambda share_id, error: None,
                views=Views(
                    read_only=(sys.prefix, sys.base_prefix, str(Path(fuse_client.__file__).parent)),
                    writable=(str(notes_in(directory)),),
                ),
                limits=LIMITS,
            )
            await engine.start()
            try:
                yield engine, table, root
            finally:
                for mount in records.live():
                    await engine.apply(ShareMount(id=mount.share.id, action=Action.UNMOUNT))
                await engine.close()
