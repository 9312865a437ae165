"""One client process: started to outlive us or taken over from an earlier agent, watched and signalled by pidfd."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.actual import ProcessIdentity
from agent.mounts.cage import Cage
from agent.mounts.walker import Walker
from agent.supervise.identity import identify_process, is_stopped
from agent.supervise.status_pipe import StatusPipe


class ClientProcess:
    """
    A client that lives outside our life: nothing here ends it but :meth:`signal`.

    A pidfd stays the same process whatever happens to its pid, and tells the exit of processes that are not our
    children as well.

    Args:
        identity: Which process.
        pidfd: Owned from now on.
        status_pipe: What it reports its start through, if it does.
    """

    def __init__(self, identity: ProcessIdentity, pidfd: int, status_pipe: StatusPipe | None = None) -> None:
        self.identity = identity
        self.status_pipe = status_pipe
        self.exit_code: int | None = None
        """Its exit code, negative for a signal; None while it runs, and of processes that are not our children."""
        self._pidfd = pidfd
        self._exited = asyncio.Event()
        self._callbacks: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(pidfd, self._note_exit)

    @property
    def has_exited(self) -> bool:
        """Whether its end was seen."""
        return self._exited.is_set()

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP): it answers nothing, SIGTERM included, until it is continued."""
        return not self.has_exited and is_stopped(self.identity.pid)

    def on_exit(self, callback: Callable[[], None]) -> Callable[[], None]:
        """
        Call *callback* on the loop once the process has ended; at once if it has.

        Returns:
            A call that takes the callback back.
        """
        if self.has_exited:
            callback()
            return lambda: None
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback) if callback in self._callbacks else None

    async def wait(self, *, deadline_s: float) -> bool:
        """Wait for its end, at most *deadline_s*; say whether it has ended."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; a process that has ended is left alone, whoever has its pid now."""
        if self.has_exited:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            self._note_exit()

    def close(self) -> None:
        """Stop watching; the process is left as it is."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
        if self.status_pipe is not None:
            self.status_pipe.close()
        self._callbacks.clear()

    def _note_exit(self) -> None:
        if self.has_exited:
            return
        self._loop.remove_reader(self._pidfd)
        self.exit_code = _reap(self._pidfd)
        self._exited.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


async def start_client(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    cage: Cage,
    walker: Walker,
    boot_id: str,
    status_fd_variable: str | None = None,
) -> ClientProcess:
    """
    Start a client in its cage and a session of its own; it inherits nothing of ours.

    Args:
        argv: Absolute program and its arguments.
        env: Its whole environment.
        log: Private file for what it prints.
        cage: What it sees.
        walker: Starts it.
        boot_id: Of this boot.
        status_fd_variable: Environment variable that takes the number of a pipe which the client reports to.

    Raises:
        MountError: as ``Walker.start_client``.
    """
    if status_fd_variable is None:
        return watch_child(await walker.start_client(argv, env=env, log=log, cage=cage, status=None), boot_id)
    pipe = StatusPipe()
    try:
        status = (status_fd_variable, f"/proc/{os.getpid()}/fd/{pipe.write_fd}")
        pid = await walker.start_client(argv, env=env, log=log, cage=cage, status=status)
        return watch_child(pid, boot_id, pipe)
    except BaseException:
        pipe.close()
        raise
    finally:
        pipe.close_write_end()


def watch_child(pid: int, boot_id: str, pipe: StatusPipe | None = None) -> ClientProcess:
    """Watch a child that nobody can have reaped yet, so its pid is still its own, even as a zombie."""
    pidfd = os.pidfd_open(pid)
    identity = identify_process(pid, boot_id=boot_id) or ProcessIdentity(pid=pid, start_ticks=0, boot_id=boot_id)
    return ClientProcess(identity, pidfd, pipe)


def attach_client(identity: ProcessIdentity, *, boot_id: str) -> ClientProcess | None:
    """
    Take over a client that an earlier agent started.

    Returns:
        None where that process is gone, even if another one has its pid now.
    """
    if identity.boot_id != boot_id:
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except (ProcessLookupError, ValueError, OverflowError):
        return None
    if identify_process(identity.pid, boot_id=boot_id) != identity:
        os.close(pidfd)
        return None
    return ClientProcess(identity, pidfd)


def _reap(pidfd: int) -> int | None:
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None  # not our child: init, or whoever adopted it, reaps it and learns its exit code
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
