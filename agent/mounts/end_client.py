"""The end of a client whose mount is gone: it mostly ends by itself, is helped along, and is always seen to end."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import structlog

from agent.actual import LiveMount
from agent.mounts import places
from agent.mounts.mountinfo import MountEntry
from agent.mounts.parts import Parts
from agent.mounts.unmount import Rung, abort_connection
from agent.supervise.identity import find_by_output, identify_process
from agent.supervise.process import ClientProcess, attach_client
from weft.errors import ErrorCode, MountError, PathError, ProcessError

_log = structlog.get_logger(__name__)

_ABORTED_S = 0.5
"""From the abort of a connection to the end of its client, which takes milliseconds where it ends by itself at all."""


async def end_client(
    live: LiveMount, process: ClientProcess, rung: Rung, entry: MountEntry | None, parts: Parts
) -> None:
    """
    See the client end. Its mount is gone, so it mostly does by itself; only then may it be signalled.

    Raises:
        ProcessError: not even SIGKILL ended it (it sleeps in the kernel); its place must not be used again yet.
    """
    is_over = await process.wait(deadline_s=0.0 if process.is_stopped else _patience_s(live, rung, parts))
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not is_over and (number is signal.SIGKILL or not process.is_stopped):
            process.signal(number)
            is_over = await process.wait(deadline_s=_grace_s(number, rung, parts))
    if not is_over:
        await free_waiters(entry, parts)  # killed, and waiting for itself in the kernel
        is_over = await process.wait(deadline_s=parts.limits.signal_s)
    if not is_over:
        raise ProcessError(
            f"cannot end the client of share {live.share_id!r}: pid {process.identity.pid} sleeps in the kernel",
            code=ErrorCode.HUNG,
        )
    _log.debug("process.exited", share=live.share_id, pid=process.identity.pid, exit_code=process.exit_code)
    process.close()


async def free_waiters(entry: MountEntry | None, parts: Parts) -> None:
    """Abort the FUSE connection of a mount that is detached: whoever waits for its client gets an error now."""
    if entry is None or not entry.fs_type.startswith("fuse"):
        return
    try:
        await abort_connection(entry, walker=parts.walker)
    except PathError as exc:
        if exc.errno != errno.ENOENT:  # ENOENT: nobody used it, so it ended with the mount
            _log.warning("unmount.failed", mount_point=entry.mount_point, step="abort", error=str(exc))
    except MountError as exc:
        _log.warning("unmount.failed", mount_point=entry.mount_point, step="abort", error=str(exc))


def _patience_s(live: LiveMount, rung: Rung, parts: Parts) -> float:
    """Say how long a client may take to end by itself: none where it never mounted or does not answer."""
    match rung:
        case Rung.ABSENT:
            return parts.limits.exit_s if live.mount_id else 0.0
        case Rung.NORMAL | Rung.WAITED:
            return parts.limits.exit_s
        case Rung.DETACHED_BUSY:
            return parts.limits.linger_s
        case Rung.DETACHED_HUNG:
            return _ABORTED_S
        case Rung.DETACHED_DEAD:
            return 0.0


def _grace_s(number: signal.Signals, rung: Rung, parts: Parts) -> float:
    """Say how long a signal may take; a client that hung, and was aborted, is not going to tidy up."""
    if number is signal.SIGTERM and rung is Rung.DETACHED_HUNG:
        return min(_ABORTED_S, parts.limits.signal_s)
    return parts.limits.signal_s


async def end_stragglers(live: LiveMount, parts: Parts) -> None:
    """Kill what still writes to the client's output: a client that was never recorded, a helper it had started."""
    if live.boot_id != parts.boot_id or not live.private_dir:
        return
    for pid in find_by_output(Path(live.private_dir) / places.OUTPUT_NAME):
        identity = identify_process(pid, boot_id=parts.boot_id)
        straggler = None if identity is None else attach_client(identity, boot_id=parts.boot_id)
        if straggler is not None:
            straggler.signal(signal.SIGKILL)
            await straggler.wait(deadline_s=parts.limits.signal_s)
            straggler.close()
