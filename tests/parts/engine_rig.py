"""An engine on real mounts: a backend of its own, a record in memory, and engines that can be thrown away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import msgspec

from agent.actual import LiveMount
from agent.credentials import CredentialResolver
from agent.drivers.base import Driver, Failure, MountCommand, MountContext, PendingUploads, PrivateFile
from agent.drivers.kernel import BindDriver
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.liveness_watch import Rhythm
from agent.mounts.mountinfo import MountEntry
from agent.mounts.parts import Limits
from agent.mounts.policy import Policy
from agent.mounts.table import MountTableWatcher, read_mount_table
from agent.mounts.walker import Walker
from agent.supervise.identity import read_boot_id
from tests.fakes import slate_client
from tests.parts.views import PYTHON
from weft.errors import ErrorCode, ExitedEarlyError, MountError, MountTimeoutError
from weft.wire.blocks import Block, register_block
from weft.wire.fields import Secrecy, declare
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share

WAIT_S = 20.0
SECRET = "very-secret-word"
FAST = Limits(check_s=2, live_s=2, drain_s=3, busy_s=0.2, probe_s=1, exit_s=3, linger_s=0.3, signal_s=3)


class SlateBlock(Block, frozen=True, kw_only=True):
    """What the test client is to do."""

    mode: Annotated[str, declare("How it behaves.")] = "serve"
    page: Annotated[str, declare("Anything; a change needs a remount.")] = ""
    secret: Annotated[str, declare("Never shown.", secrecy=Secrecy.SECRET)] = ""


register_block("slate", SlateBlock)


class SlateDriver(Driver):
    """
    The driver of the test client.

    Attributes:
        refusal: What the next checks raise.
        pending: Answers of :meth:`find_pending`, last first; then nothing is pending.
        refreshed: The shares that were refreshed.
        is_deaf: Whether its control socket is to be taken for silent.
    """

    name = "slate"
    block: ClassVar[type[Block]] = SlateBlock
    programs = ("python",)

    def __init__(self, deadline_s: float = WAIT_S) -> None:
        self.deadline_s = deadline_s
        self.refusal: MountError | None = None
        self.pending: list[int] = []
        self.refreshed: list[str] = []
        self.live_changes: list[tuple[str, str]] = []
        self.is_deaf = False

    def build(self, context: MountContext) -> MountCommand:
        """Run the client in the mode that the share names."""
        block = context.share.block
        assert isinstance(block, SlateBlock)
        return MountCommand(
            argv=(
                str(context.programs["python"]),
                slate_client.__file__,
                block.mode,
                context.share.mount_point,
                context.source,
                str(_moods(context.private_dir.parents[2]) / context.share.id),
            ),
            fs_types=frozenset({"fuse.slate"}),
            source=context.source,
            env={"SLATE_SECRET": block.secret, "PATH": "/usr/bin:/bin"},
            files=(PrivateFile("secret.conf", block.secret.encode()),),
            status_fd_variable="SLATE_STATUS_FD",
            deadline_s=self.deadline_s,
        )

    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Say what happened and nothing more."""
        refuse = f"cannot mount share {context.share.id!r}"
        if failure.root_errno is not None:
            return MountError(f"{refuse}: errno {failure.root_errno}", code=ErrorCode.AUTH, detail=failure.output)
        if failure.exit_code is not None:
            return ExitedEarlyError(
                f"{refuse}: exit code {failure.exit_code}", exit_code=failure.exit_code, detail=failure.output
            )
        return MountTimeoutError(f"{refuse}: not up in time", detail=failure.output)

    def find_start_failure(self, message: bytes) -> str | None:
        """Take any message for a failure."""
        return message.decode() or None

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        """Raise what the test asks for."""
        if self.refusal is not None:
            raise self.refusal

    def can_apply_live(self, old: ShareMount, new: ShareMount) -> bool:
        """Take a new secret live."""
        return msgspec.structs.replace(_block(old), secret="") == msgspec.structs.replace(_block(new), secret="")

    async def apply_live(self, old: ShareMount, context: MountContext, *, deadline_s: float) -> None:
        """Note the change."""
        self.live_changes.append((_block(old).secret, _block(context.share).secret))

    async def refresh(self, context: MountContext, *, deadline_s: float) -> None:
        """Note the share."""
        self.refreshed.append(context.share.id)

    async def is_answering(self, context: MountContext, pid: int, *, deadline_s: float) -> bool:
        """Give the test's answer."""
        return not self.is_deaf

    async def find_pending(self, context: MountContext, *, deadline_s: float) -> PendingUploads:
        """Give the next answer."""
        return PendingUploads(files=self.pending.pop() if self.pending else 0)


def _moods(directory: Path) -> Path:
    return directory / "moods"


def _block(share: ShareMount) -> SlateBlock:
    block = share.block
    assert isinstance(block, SlateBlock)
    return block


def slate(share_id: str, mount_point: Path, *, mode: str = "serve", page: str = "", **fields: object) -> ShareMount:
    """Build a share of the test backend."""
    return parse_share(
        {
            "id": share_id,
            "backend": "slate",
            "mount_point": str(mount_point),
            "slate": {"mode": mode, "page": page, "secret": fields.pop("secret", SECRET)},
            **fields,
        }
    )


class MemoryLive:
    """The record of live mounts, in memory; it outlives the engines of a test as the ledger outlives the agent."""

    def __init__(self) -> None:
        self.mounts: dict[ShareId, LiveMount] = {}
        self._recorded = asyncio.Event()

    def live(self) -> list[LiveMount]:
        """Return every record."""
        return list(self.mounts.values())

    def find_live(self, share_id: ShareId) -> LiveMount | None:
        """Return one record."""
        return self.mounts.get(share_id)

    def record_live(self, mount: LiveMount) -> None:
        """Keep a record, as text would: nothing but its values survives."""
        self.mounts[mount.share_id] = mount
        self._recorded.set()

    def forget_live(self, share_id: ShareId) -> None:
        """Drop a record."""
        self.mounts.pop(share_id, None)

    async def wait_for(self, share_id: str, condition: Callable[[LiveMount], bool]) -> LiveMount:
        """Wait until the record of a share is as *condition* wants it."""
        async with asyncio.timeout(WAIT_S):
            while not ((live := self.mounts.get(ShareId(share_id))) and condition(live)):
                self._recorded.clear()
                await self._recorded.wait()
        return live


@dataclass(slots=True)
class EngineRig:
    """
    Everything an engine needs, and what it told.

    Attributes:
        directory: Of the test; short, since a socket's path must fit.
        root: The allowed root below it.
        more_drivers: Drivers beside the test's own and bind, for engines made from now on.
        more_programs: Programs beside what those need.
        writable: What clients of engines made from now on may change besides.
        credentials: Where references lead, for engines made from now on.
        rhythm: How often mounts are asked, for engines made from now on.
        is_shielding: Whether engines made from now on close bare directories.
        changes: What ``on_change`` was told, in order.
        remarks: What ``on_remark`` was told, in order.
    """

    directory: Path
    walker: Walker
    table: MountTableWatcher
    driver: SlateDriver = field(default_factory=SlateDriver)
    live: MemoryLive = field(default_factory=MemoryLive)
    limits: Limits = FAST
    rhythm: Rhythm | None = None
    is_shielding: bool = False
    more_drivers: dict[str, Driver] = field(default_factory=dict)
    more_programs: dict[str, Path] = field(default_factory=dict)
    writable: tuple[Path, ...] = ()
    credentials: CredentialResolver = field(default_factory=lambda: CredentialResolver(environ={}))
    changes: list[tuple[ShareId, MountError | None]] = field(default_factory=list)
    remarks: list[tuple[ShareId, MountError | None]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _remarked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def root(self) -> Path:
        """Where mounts are allowed."""
        return self.directory / "shares"

    def mark(self, share_id: str, mood: str) -> Path:
        """Have a share's client of mode ``moody`` behave as *mood* says, until the marker is removed."""
        marker = _moods(self.directory) / f"{share_id}.{mood}"
        marker.touch()
        return marker

    @property
    def sources(self) -> Path:
        """What may be shown, and mounted on as well."""
        return self.directory / "sources"

    @property
    def private(self) -> Path:
        """Where private directories are."""
        return self.directory / "run" / "private"

    @asynccontextmanager
    async def engine(
        self, *, also_tell: Callable[[ShareId, MountError | None], object] = lambda share_id, error: None
    ) -> AsyncIterator[MountEngine]:
        """
        Make an engine, as an agent that starts would; leaving throws it away, mounts and clients stay.

        Args:
            also_tell: Told what ``on_change`` is told.
        """

        def note(share_id: ShareId, error: MountError | None) -> None:
            self._note(share_id, error)
            also_tell(share_id, error)

        engine = MountEngine(
            drivers={"slate": self.driver, "bind": BindDriver()} | self.more_drivers,
            programs={"python": Path(sys.executable), "mount": Path("/usr/bin/mount")} | self.more_programs,
            walker=self.walker,
            table=self.table,
            policy=Policy(roots=(str(self.root), str(self.sources)), source_roots=(str(self.sources),)),
            live=self.live,
            resolve=self.credentials.resolve,
            resolved=self.credentials.values,
            run_dir=self.directory / "run",
            state_dir=self.directory / "state",
            boot_id=read_boot_id(),
            on_change=note,
            on_remark=self._remark,
            is_shielding=self.is_shielding,
            views=Views(read_only=(*PYTHON, str(_moods(self.directory))), writable=tuple(map(str, self.writable))),
            limits=self.limits,
            rhythm=self.rhythm,
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()

    def _note(self, share_id: ShareId, error: MountError | None) -> None:
        self.changes.append((share_id, error))
        self._changed.set()

    def _remark(self, share_id: ShareId, remark: MountError | None) -> None:
        self.remarks.append((share_id, remark))
        self._remarked.set()

    async def wait_for_remark(self) -> None:
        """Wait until ``on_remark`` is called once more."""
        self._remarked.clear()
        await self._remarked.wait()

    async def wait_for_next_change(self) -> None:
        """Wait until ``on_change`` is called once more."""
        self._changed.clear()
        await self._changed.wait()

    async def wait_for_change(self, condition: Callable[[MountError | None], bool]) -> MountError | None:
        """Wait until ``on_change`` was told something that *condition* accepts."""
        async with asyncio.timeout(WAIT_S):
            while not (found := [error for _, error in self.changes if condition(error)]):
                await self.wait_for_next_change()
        return found[0]

    def pid_of(self, share_id: str) -> int:
        """Return the client of a share."""
        process = self.live.mounts[ShareId(share_id)].process
        assert process is not None
        return process.pid

    def entries_at(self, mount_point: Path) -> tuple[MountEntry, ...]:
        """Return what the kernel shows at *mount_point*."""
        return read_mount_table().at(str(mount_point))

    def command_line(self, share_id: str) -> str:
        """Return the command line of a share's client."""
        return Path(f"/proc/{self.pid_of(share_id)}/cmdline").read_text()

    def kill_client(self, share_id: str) -> None:
        """Kill a client, which leaves a dead mount."""
        os.kill(self.pid_of(share_id), signal.SIGKILL)

    def stop_client(self, share_id: str) -> None:
        """Stop a client, which leaves a hung mount."""
        os.kill(self.pid_of(share_id), signal.SIGSTOP)

    def continue_client(self, share_id: str) -> None:
        """Let a stopped client go on."""
        os.kill(self.pid_of(share_id), signal.SIGCONT)

    @contextmanager
    def foreign_mount(self, mount_point: Path, *, source: str = "foreign") -> Iterator[None]:
        """Have somebody else's mount at *mount_point*, detached in the end: a helper may just be looking at it."""
        mount_point.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", source, mount_point], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", mount_point], check=True)

    @contextmanager
    def held_open(self, path: Path) -> Iterator[int]:
        """Hold a file open; its client may be gone when it is closed."""
        fd = os.open(path, os.O_RDONLY)
        try:
            yield fd
        finally:
            with suppress(OSError):
                os.close(fd)

    @staticmethod
    def unmount_behind(mount_point: Path) -> None:
        """Unmount as somebody else would, whoever uses it."""
        subprocess.run(["umount", "-l", mount_point], check=True)

    def private_files(self) -> list[str]:
        """Name everything below the private directories."""
        return [str(path) for path in self.private.rglob("*")]


@asynccontextmanager
async def engine_rig(directory: Path) -> AsyncIterator[EngineRig]:
    """Make a rig in *directory*."""
    (directory / "shares").mkdir(parents=True)
    (directory / "sources").mkdir()
    _moods(directory).mkdir()
    async with Walker() as walker:
        with MountTableWatcher() as table:
            yield EngineRig(directory, walker, table)


__all__ = ["SECRET", "WAIT_S", "EngineRig", "MemoryLive", "SlateDriver", "engine_rig", "slate"]
