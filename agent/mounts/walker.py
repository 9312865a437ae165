"""Every question and change that can walk into or below a mount, asked of a disposable process with a deadline."""

from __future__ import annotations

import enum
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from agent.actual import ProcessIdentity
from agent.mounts.cage import Cage
from agent.mounts.facts import Holder, PathFacts, PathKind
from agent.mounts.liveness import Liveness, liveness_of
from agent.mounts.table import read_mount_table
from agent.mounts.walker_process import HelperLost, Lane, NoTurn, Refusal, StillStuck, WalkerProcess
from weft.errors import (
    BusyError,
    CommandNotFoundError,
    ErrorCode,
    HungError,
    MountError,
    NotMountedError,
    PathError,
)
from weft.wire.paths import is_at_or_below

CALL_DEADLINE_S = 10.0
"""For a call whose caller names no deadline: longer than any local file system takes, shorter than patience."""

_FUSE_DEVICE = "/dev/fuse"

_CODES = {
    errno.ENOENT: ErrorCode.NOT_FOUND,
    errno.ENOTDIR: ErrorCode.NOT_FOUND,
    errno.ENAMETOOLONG: ErrorCode.BAD_SPEC,
    errno.E2BIG: ErrorCode.BAD_SPEC,
    errno.EACCES: ErrorCode.DENIED,
    errno.EPERM: ErrorCode.DENIED,
    errno.EBUSY: ErrorCode.BUSY,
    errno.ENOSPC: ErrorCode.NO_SPACE,
    errno.EDQUOT: ErrorCode.NO_SPACE,
    errno.ENOTCONN: ErrorCode.EXITED,
    errno.ECONNABORTED: ErrorCode.EXITED,
    errno.ETIMEDOUT: ErrorCode.TIMEOUT,
    errno.EHOSTUNREACH: ErrorCode.UNREACHABLE,
    errno.ENETUNREACH: ErrorCode.UNREACHABLE,
    errno.EHOSTDOWN: ErrorCode.UNREACHABLE,
    errno.ECONNREFUSED: ErrorCode.UNREACHABLE,
}


class UnmountMode(enum.IntEnum):
    """Flags of umount2(2): ask, abort what is under way, or take it out of the tree and let holders finish."""

    NORMAL = 0
    FORCE = 1
    DETACH = 2


class Walker:
    """
    Calls into mounts, none of which can block the agent.

    Each runs in a helper process of its own. At its deadline, or when the awaiting task is cancelled, the helper is
    killed and abandoned; one in uninterruptible sleep stays, and is counted in :attr:`stuck`, until its mount answers
    or goes. If the process that forks the helpers dies, what was under way fails with a :class:`MountError` and the
    next call starts it again. Probes, unmounts and everything else have places of their own, and what got stuck is not
    asked again before it ended: hung mounts keep no other mount waiting. Waiting for a place is no part of a deadline.

    Args:
        max_probes: Probes at once; there should be one for each mount.
        python: The interpreter that runs them.
        turn_s: Longest wait for a place.
    """

    def __init__(self, *, max_probes: int = 64, python: str = sys.executable, turn_s: float = 60.0) -> None:
        self._process = WalkerProcess(max_probes=max_probes, python=python, turn_s=turn_s)
        self._resolved_roots: dict[str, str] = {}

    async def start(self) -> None:
        """Start the process that forks the helpers, so that the first call does not have to."""
        try:
            self._process.start()
        except HelperLost as exc:
            raise MountError(f"cannot start the walker: {exc}") from exc

    async def close(self) -> None:
        """End it; calls under way fail."""
        await self._process.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def stuck(self) -> int:
        """How many abandoned helpers have not ended."""
        return self._process.stuck

    @property
    def pid(self) -> int | None:
        """Process id of what forks the helpers, while it runs."""
        return self._process.pid

    async def probe(
        self, path: str, *, deadline_s: float, mount_id: int = 0, on_begun: Callable[[], object] = lambda: None
    ) -> Liveness:
        """
        Say whether the client behind the mount at *path* still answers.

        Args:
            path: Absolute, symlink-free, and in the mount table.
            deadline_s: Seconds until silence counts as hung; > 0.
            mount_id: Which mount that is: a helper stuck in one that stood there before says nothing about it.
            on_begun: Called when the question is asked, after any wait for a place.

        Returns:
            ``ALIVE``, ``DEAD`` or ``HUNG``, at once where an earlier question to it is stuck. A sick mount is an
            answer, not an error.

        Raises:
            NotMountedError: *path* does not exist (any more).
            MountError: nothing is known: the helper was lost, or there was no place for one.
        """
        try:
            key = (path, mount_id)
            await self._ask("probe", path, "probe", deadline_s, lane=Lane.PROBE, key=key, on_begun=on_begun)
        except HungError:
            return Liveness.HUNG
        except PathError as exc:
            if exc.errno == errno.ENOENT:
                raise NotMountedError(f"cannot probe {path!r}: it does not exist") from exc
            return liveness_of(exc.errno)
        return Liveness.ALIVE

    async def read_root(self, path: str, *, deadline_s: float, limit: int = 1) -> list[str]:
        """
        Read at most *limit* names (up to 256) of the directory *path*.

        Raises:
            PathError: with the kernel's errno; a wrong S3 key shows here, as EIO.
            HungError: no answer by the deadline.
        """
        names: list[str] = await self._ask("read", path, "read_root", deadline_s, limit=min(limit, 256))
        return names

    async def probe_root(
        self, path: str, *, deadline_s: float, mount_id: int = 0, on_begun: Callable[[], object] = lambda: None
    ) -> None:
        """
        Read a name of the directory *path* as a probe, which ``statvfs`` is not where it is answered from a cache.

        Args:
            path: As for :meth:`probe`, and so are the others.
            deadline_s: Seconds until silence counts as hung.
            mount_id: Which mount that is.
            on_begun: Called when the question is asked.

        Raises:
            PathError: with the kernel's errno.
            HungError: no answer by the deadline, or an earlier question is stuck.
        """
        key = (path, mount_id)
        await self._ask("read", path, "read_root", deadline_s, lane=Lane.PROBE, key=key, on_begun=on_begun, limit=1)

    async def inspect(self, path: str, roots: Sequence[str], *, deadline_s: float = CALL_DEADLINE_S) -> PathFacts:
        """
        Find out what lies at *path*, following no symbolic link below the allowed root that holds it.

        Args:
            path: Absolute and normalised.
            roots: The allowed roots; the longest that holds *path* counts, and one that is a symbolic link is resolved
                the first time it is seen to exist. With none, every link on the way counts.
            deadline_s: Seconds until the helper is abandoned.

        Raises:
            PathError, HungError: something on the way is sick.
        """
        root = max((root for root in roots if is_at_or_below(path, root)), key=len, default=None)
        resolved_root = self._resolved_roots.get(root) if root is not None else None
        found: dict[str, Any] = await self._ask(
            "inspect", path, "inspect", deadline_s, root=root, resolved_root=resolved_root
        )
        facts = PathFacts(**(found | {"kind": PathKind(found["kind"])}))
        if root is not None and facts.resolved_root is not None and facts.ended_at != facts.resolved_root:
            self._resolved_roots[root] = facts.resolved_root
        return facts

    async def make_directories(
        self, path: str, mode: int = 0o755, *, deadline_s: float = CALL_DEADLINE_S
    ) -> tuple[str, ...]:
        """
        Make the directory *path* and those missing above it, following no symbolic link at all.

        Args:
            path: ``PathFacts.resolved_path``.
            mode: Of every directory made, whatever the umask.
            deadline_s: Seconds until the helper is abandoned; what it made by then may stay.

        Returns:
            Those made, outermost first; empty if all were there.

        Raises:
            PathError: it cannot be made; ``not_found`` naming the parent unless a disk is full. Nothing is left.
        """
        try:
            made: list[str] = await self._ask("make", path, "make_directories", deadline_s, mode=mode)
        except PathError as exc:
            if exc.code is ErrorCode.NO_SPACE:
                raise
            raise PathError(exc.message, errno=exc.errno, code=ErrorCode.NOT_FOUND) from exc
        return tuple(made)

    async def set_mode(self, path: str, mode: int, *, deadline_s: float = CALL_DEADLINE_S) -> None:
        """
        Set the permissions of the directory *path*, following no symbolic link.

        Raises:
            PathError, HungError: it cannot be reached, or is no directory.
        """
        await self._ask("set the permissions of", path, "set_mode", deadline_s, mode=mode)

    async def remove_directory(self, path: str, *, deadline_s: float = CALL_DEADLINE_S) -> bool:
        """
        Remove the empty directory *path* with rmdir(2), unless something is mounted on or below it.

        Returns:
            Whether it was removed; False if it is not there, not empty, a mount point, or on a read-only file system.

        Raises:
            PathError, HungError: its parent is sick.
        """
        table = read_mount_table()
        if table.at(path) or table.below(path):
            return False
        is_removed: bool = await self._ask("remove", path, "remove_directory", deadline_s, lane=Lane.UNMOUNT)
        return is_removed

    async def unmount(
        self, path: str, mount_id: int, mode: UnmountMode = UnmountMode.NORMAL, *, deadline_s: float = CALL_DEADLINE_S
    ) -> None:
        """
        Take the mount with this id away, if it is the topmost at *path*, which is reached over no symbolic link.

        Raises:
            BusyError: somebody uses it, or something is mounted on it.
            NotMountedError: *path* does not lead to it.
            HungError: no answer; it may be gone all the same, ask the mount table.
        """
        try:
            await self._ask(
                "unmount", path, "unmount", deadline_s, lane=Lane.UNMOUNT, flags=int(mode), mount_id=mount_id
            )
        except PathError as exc:
            if exc.errno == errno.EBUSY:
                raise BusyError(f"cannot unmount {path!r}: it is in use") from exc
            if exc.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise NotMountedError(f"cannot unmount {path!r}: what was mounted there is not") from exc
            raise

    async def start_client(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        cage: Cage,
        status: tuple[str, str] | None,
        deadline_s: float = CALL_DEADLINE_S,
    ) -> int:
        """
        Start a client in its cage, as a child of this process and in a session of its own.

        Args:
            argv: Absolute program and its arguments.
            env: Its whole environment.
            log: Private file for what it prints: a pipe would kill it at its next line once the agent is gone.
            cage: What it sees.
            status: Environment variable that takes the number of a descriptor, and what is opened for that.
            deadline_s: Seconds for the cage, whose sources may lie in a mount that hangs.

        Returns:
            Its pid.

        Raises:
            CommandNotFoundError: there is no such program in the cage.
            PathError: the cage cannot be made.
            HungError: something that it is to show does not answer.
        """
        try:
            pid: int = await self._process.ask(
                "become_client",
                deadline_s=deadline_s,
                argv=list(argv),
                env=dict(env),
                log=str(log),
                status=status,
                cage=cage.encode(),
            )
        except _FAILURES as exc:
            raise _explain_start(_translate(exc, "start", argv[0], deadline_s), exc, cage) from exc
        return pid

    async def take_over(
        self, client: ProcessIdentity, path: str, attributes: Sequence[str], *, deadline_s: float
    ) -> int | None:
        """
        Move what *client* mounted in its cage to *path*, which is reached over no symbolic link.

        Args:
            client: Which process: what another one with its pid has mounted is left alone.
            path: The mount point; an existing directory.
            attributes: Some of ``ro nosuid nodev noexec``, that it gets whatever the client asked for.
            deadline_s: Seconds until the helper is abandoned.

        Returns:
            The mount's id; None where the mount point was replaced meanwhile, and then nothing is mounted.

        Raises:
            PathError: *path* cannot be reached, or the client has ended.
            HungError: no answer.
        """
        mount_id: int | None = await self._ask(
            "mount at",
            path,
            "take_over",
            deadline_s,
            pid=client.pid,
            start_ticks=client.start_ticks,
            attributes=tuple(attributes),
        )
        return mount_id

    async def perform_mount(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        path: str,
        source: str | None,
        deadline_s: float,
    ) -> tuple[int, int | None]:
        """
        Run mount(8) in a mount namespace of its own, and move what it mounted to *path*, or show *source* there.

        Args:
            argv: ``mount [-t TYPE] -o OPTIONS -- WHAT MOUNT_POINT``.
            env: Its whole environment.
            log: Takes what it prints; the directory that holds it is mounted upon in that namespace.
            path: The mount point, reached over no symbolic link.
            source: For a bind, what is shown, reached in the same way.
            deadline_s: Seconds until the helper is abandoned.

        Returns:
            Its exit code, and the mount's id; no id where the mount point was replaced meanwhile.

        Raises:
            PathError: the mount point, or the source, cannot be reached.
            HungError: no answer in time.
        """
        exit_code, mount_id = await self._ask(
            "mount at",
            path,
            "perform_mount",
            deadline_s,
            argv=list(argv),
            env=dict(env),
            log=str(log),
            private_dir=str(log.parent),
            source=source,
        )
        return exit_code, mount_id

    async def find_root_inode(self, path: str, mount_id: int, *, deadline_s: float = CALL_DEADLINE_S) -> int:
        """
        Read the inode of what the mount with this id shows at *path*, which is reached over no symbolic link.

        Raises:
            PathError: *path* does not lead to that mount (any more).
            HungError: no answer.
        """
        inode: int = await self._ask("look at", path, "find_root_inode", deadline_s, mount_id=mount_id)
        return inode

    async def open_holders(self, path: str, *, deadline_s: float = CALL_DEADLINE_S) -> tuple[Holder, ...]:
        """Name the processes that keep the mount at *path* busy, one path each; bounded."""
        found = await self._ask("find holders of", path, "find_holders", deadline_s, lane=Lane.UNMOUNT)
        return tuple(Holder(*fields) for fields in found)

    async def abort(self, connection: str, *, deadline_s: float = CALL_DEADLINE_S) -> None:
        """
        Abort a FUSE connection through fusectl, which is mounted if it is not.

        Args:
            connection: Its number, the name of its directory in fusectl.
            deadline_s: Seconds until the helper is abandoned.

        Raises:
            PathError: ENOENT if there is no such connection.
        """
        try:
            await self._process.ask("abort", deadline_s=deadline_s, lane=Lane.UNMOUNT, connection=connection)
        except _FAILURES as exc:
            raise _translate(exc, "abort FUSE connection", connection, deadline_s) from exc

    async def _ask(self, verb: str, path: str, call: str, deadline_s: float, **arguments: Any) -> Any:
        try:
            return await self._process.ask(call, deadline_s=deadline_s, path=path, **arguments)
        except _FAILURES as exc:
            raise _translate(exc, verb, path, deadline_s) from exc


_FAILURES = (Refusal, TimeoutError, StillStuck, NoTurn, HelperLost)


def _translate(exc: Exception, verb: str, what: str, deadline_s: float) -> MountError:
    if isinstance(exc, Refusal):
        where = f"{exc.at!r}: " if exc.at and exc.at != what else ""
        reason = os.strerror(exc.errno)
        code = _CODES.get(exc.errno, ErrorCode.INTERNAL)
        return PathError(
            f"cannot {verb} {what!r}: {where}{reason[:1].lower()}{reason[1:]}",
            errno=exc.errno,
            code=code,
            is_permanent=code is ErrorCode.BAD_SPEC,
        )
    if isinstance(exc, TimeoutError):
        return HungError(f"cannot {verb} {what!r}: no answer within {deadline_s:g} s")
    if isinstance(exc, StillStuck):
        return HungError(f"cannot {verb} {what!r}: whoever tried before is still stuck there")
    if isinstance(exc, NoTurn):
        return MountError(f"cannot {verb} {what!r}: too much else is under way", code=ErrorCode.TIMEOUT)
    return MountError(f"cannot {verb} {what!r}: its helper process was lost ({exc})", code=ErrorCode.INTERNAL)


def _explain_start(error: MountError, exc: Exception, cage: Cage) -> MountError:
    """Name what a guest lacks that cannot start a client at all; a source that went away this moment may come back."""
    if not isinstance(exc, Refusal) or exc.at in cage.sources.values():
        return error
    if exc.at == _FUSE_DEVICE:
        return CommandNotFoundError(
            f"cannot mount: this guest has no {_FUSE_DEVICE} (modprobe fuse)", code=ErrorCode.FUSE_MISSING
        )
    if exc.errno == errno.ENOENT:
        return CommandNotFoundError(f"{error.message}: clients do not see it; client_paths shows more of the guest")
    if exc.errno in (errno.EPERM, errno.ENOSYS):
        return MountError(
            f"{error.message} in a mount namespace of its own (CAP_SYS_ADMIN and Linux 5.12 are needed)",
            code=ErrorCode.INTERNAL,
        )
    return error
