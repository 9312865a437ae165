"""The driver seam: what a backend must know so that the engine can mount it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from weft.errors import CommandNotFoundError, ErrorCode, MountError
from weft.wire.blocks import Block
from weft.wire.share import ShareMount


@dataclass(frozen=True, slots=True)
class MountContext:
    """
    Everything a driver may look at.

    Attributes:
        share: The spec, credential references already resolved. Its mount point is where the client is to mount: a
            place in its own mount namespace, from which the engine takes the mount over.
        source: The text to show as source in mountinfo, where the client lets one choose.
        private_dir: The mount's own directory (0700), short enough for a UNIX socket below it.
        cache_dir: The share's own directory for cached data (0700); survives remounts and reboots.
        programs: Absolute paths of the programs this guest has, by name.
    """

    share: ShareMount
    source: str
    private_dir: Path
    cache_dir: Path
    programs: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file that the engine writes into the private directory (0600) before the start; its content is never shown."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MountCommand:
    """
    How to start one mount.

    Attributes:
        argv: Program (absolute) and arguments; no secret may stand here.
        fs_types: Types that mountinfo may show for it; empty where any may (a bind shows that of its source).
        source: Source that mountinfo must show; None where the kernel decides.
        is_client: True for a process that serves the mount as long as it lives. False for a run of mount(8) that
            returns: *argv* is then ``mount [-t TYPE] -o OPTIONS -- WHAT MOUNT_POINT``; WHAT of a bind is held open.
        env: The whole environment of the process; nothing is inherited.
        files: Written into the private directory first.
        directories: Made (0700) first, relative to the private directory or absolute.
        links: Symbolic links to make after the directories: path relative to the private directory → absolute target.
            A client that looks for a helper by a name that the guest does not have finds it there through its PATH.
        secrets: Texts derived from the spec's secrets (an obscured password) that must be redacted like those.
        status_fd_variable: Environment variable that takes the number of an inherited pipe the client reports to.
        log_files: Further files, relative to the private directory, whose last lines tell why it failed.
        deadline_s: Seconds until a mount that is not up counts as failed.
        needs_proc: Whether the client must see ``/proc``, read-only.
        capabilities: What it needs besides CAP_SYS_ADMIN, as ``cage`` names them.
        may_listen: Whether it may accept connections. One that may not believes that it does, and nobody reaches it.
        starting_files: Names among *files* that are removed once the mount is up.
    """

    argv: tuple[str, ...]
    fs_types: frozenset[str]
    source: str | None
    is_client: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    files: tuple[PrivateFile, ...] = ()
    directories: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = field(default_factory=frozenset, repr=False)
    status_fd_variable: str | None = None
    log_files: tuple[str, ...] = ()
    deadline_s: float = 30.0
    needs_proc: bool = True
    capabilities: frozenset[str] = frozenset()
    may_listen: bool = True
    starting_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """
    How a start failed.

    Attributes:
        exit_code: The process's exit code, negative for a signal; None while it still ran at the deadline.
        output: Last lines of what it printed and logged, secrets already redacted.
        root_errno: Errno of the first read of the mount's root, where it came that far.
    """

    exit_code: int | None
    output: str
    root_errno: int | None = None


@dataclass(frozen=True, slots=True)
class PendingUploads:
    """Files that a client has accepted and not yet stored in its backend."""

    files: int
    total_bytes: int | None = None


class Driver(abc.ABC):
    """
    One backend.

    ``build`` and ``classify`` are pure. The asynchronous hooks may talk to the backend or to the client's control
    socket, always within the deadline they are given, and never touch a path below a mount point.
    """

    name: ClassVar[str]
    block: ClassVar[type[Block]]
    programs: ClassVar[tuple[str, ...]] = ()
    """Programs it cannot do without, by name."""
    packages: ClassVar[Mapping[str, str]] = {}
    """What to install for each of them, for the error text."""
    harmless_root_errnos: ClassVar[frozenset[int]] = frozenset()
    """Errnos that a healthy mount may give root for the first read of its root directory."""

    @abc.abstractmethod
    def build(self, context: MountContext) -> MountCommand:
        """
        Turn a spec into the command that mounts it.

        Raises:
            MountError: the spec asks for what this backend cannot or may not do.
        """

    @abc.abstractmethod
    def classify(self, context: MountContext, failure: Failure) -> MountError:
        """Name a failed start: code, one sentence, the client's last lines as detail, and whether retrying helps."""

    def require_programs(self, programs: Mapping[str, Path]) -> None:
        """
        Refuse a guest that lacks one of :attr:`programs`; pure.

        Raises:
            CommandNotFoundError: naming the program and its package.
        """
        for name in self.programs:
            if name not in programs:
                package = self.packages.get(name)
                hint = f" (install {package})" if package else ""
                code = ErrorCode.FUSE_MISSING if name.startswith("fusermount") else ErrorCode.HELPER_MISSING
                raise CommandNotFoundError(f"cannot mount with {self.name}: {name} is not installed{hint}", code=code)

    def source_paths(self, share: ShareMount) -> tuple[str, ...]:
        """
        Name the guest's own directories that *share* would show, for the policy on sources; pure.

        Raises:
            MountError: the spec hides what it would read (a relative path, a remote given in place).
        """
        return ()

    def find_start_failure(self, message: bytes) -> str | None:
        """
        Read what a client wrote to its status pipe so far; pure.

        Returns:
            Why the start failed; None while it says no such thing.
        """
        return None

    async def find_version(self, programs: Mapping[str, Path]) -> str | None:
        """Return the client's version, None where there is no client or it does not say."""
        return None

    def find_version_problem(self, version: str | None) -> tuple[str, str] | None:
        """
        Say what is wrong with a client of *version*, and what to do; None where it will do; pure.

        Args:
            version: As :meth:`find_version` found it.
        """
        return None

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        """
        Check what can be known before the old mount goes (client version, key, volume, server).

        Raises:
            MountError: the mount would fail; nothing was changed.
        """

    def can_apply_live(self, old: ShareMount, new: ShareMount) -> bool:
        """Say whether *new* can replace *old* without a remount; pure."""
        return False

    async def apply_live(self, old: ShareMount, context: MountContext, *, deadline_s: float) -> None:
        """Change the running client from *old* to ``context.share``; only called where :meth:`can_apply_live`."""
        raise NotImplementedError

    async def refresh(self, context: MountContext, *, deadline_s: float) -> None:
        """Drop cached listings and attributes of the running client; a backend without such a cache does nothing."""

    def mend_cache(self, cache_dir: Path) -> tuple[str, ...]:
        """
        Put right, before a start, what a killed client left in *cache_dir*; runs in a thread, on the guest's own disk.

        Returns:
            The files that would have been lost, as the backend names them.
        """
        return ()

    def find_stranded(self, cache_dir: Path) -> PendingUploads | None:
        """
        Count what a client which is gone left in *cache_dir* and had not stored; runs in a thread.

        Returns:
            None for a backend that cannot say.
        """
        return None

    async def is_answering(self, context: MountContext, pid: int, *, deadline_s: float) -> bool:
        """
        Say whether the running client answers its control socket; one without such a socket is taken to.

        Args:
            context: Its mount, with credential references unresolved.
            pid: Its process.
            deadline_s: Seconds until silence is the answer.
        """
        return True

    async def hasten_uploads(self, context: MountContext, *, deadline_s: float) -> None:
        """Have the running client store now what it meant to store later; one that never waits has nothing to do."""

    async def find_pending(self, context: MountContext, *, deadline_s: float) -> PendingUploads:
        """Ask the running client what it has not yet stored in its backend."""
        return PendingUploads(files=0)
