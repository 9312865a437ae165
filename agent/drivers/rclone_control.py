"""Talks to a running rclone over its control socket, always within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.drivers.base import PendingUploads
from agent.drivers.failures import find_sign
from agent.drivers.http_call import HttpError, call
from agent.drivers.rclone_failures import SIGNS
from weft.errors import ErrorCode, HungError, MountError, ProcessError

_SOCKET_RETRY_S: Final = 0.01
_HASTENED_AT_MOST: Final = 2000
"""Uploads asked for one by one, a fraction of a millisecond each; a longer queue has begun long before its end."""
_LONG_AGO_S: Final = -1e9
_RELEASE_S: Final = 0.05
"""The kernel tells the client that a file was closed only after close() has returned, a few milliseconds later."""


async def call_control(
    socket: Path, command: str, parameters: Mapping[str, Any] | None = None, *, deadline_s: float
) -> dict[str, Any]:
    """
    Call one remote-control command and return its answer.

    Args:
        socket: In the mount's private directory; who can reach it may do everything.
        command: For example ``vfs/stats``.
        parameters: May hold secrets: they are in no error.
        deadline_s: Seconds for connecting, asking and answering.

    Raises:
        HungError: no answer in time, or no socket yet.
        ProcessError: nobody listens: the client is gone.
        MountError: the client refuses; the detail says why.
    """
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await _connect(socket)
            content = msgspec.json.encode(dict(parameters or {}))
            reply = await call(reader, writer, host="rclone", target=f"/{command}", content=content)
    except TimeoutError as exc:
        raise HungError(f"cannot call {command}: rclone gave no answer in {deadline_s:g} s") from exc
    except OSError as exc:
        raise ProcessError(f"cannot call {command}: rclone's control socket does not answer") from exc
    except HttpError as exc:
        raise MountError(f"cannot call {command}: the answer is not rclone's") from exc
    try:
        answer = msgspec.json.decode(reply.body, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise MountError(f"cannot call {command}: the answer is not rclone's") from exc
    if reply.status != 200:
        # the answer repeats the parameters under "input": only the reason may go further
        raise MountError(f"cannot call {command}: rclone refuses", detail=str(answer.get("error", "")))
    return answer


async def _connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect, waiting for the socket to appear: rclone (1.75.2) may make it after its mount shows.

    Whoever took "no socket" for "nothing pending" would lose what was written in that moment. A client that was killed
    leaves its socket, which refuses at once.
    """
    while True:
        try:
            return await asyncio.open_unix_connection(str(socket))
        except FileNotFoundError:
            await asyncio.sleep(_SOCKET_RETRY_S)


async def find_uploads(socket: Path, *, deadline_s: float) -> PendingUploads:
    """
    Ask what is not yet stored in the remote.

    "Nothing" is asked for twice: a file that was closed this moment is not counted yet.

    Raises:
        MountError: as :func:`call_control`.
    """
    files = await _count_uploads(socket, deadline_s=deadline_s / 3)
    if not files:
        await asyncio.sleep(_RELEASE_S)
        files = await _count_uploads(socket, deadline_s=deadline_s / 3)
    if not files:
        return PendingUploads(files=0, total_bytes=0)
    queue = (await call_control(socket, "vfs/queue", deadline_s=deadline_s / 3)).get("queue") or ()
    return PendingUploads(files=files, total_bytes=sum(int(item.get("size", 0)) for item in queue))


async def answers_control(socket: Path, *, deadline_s: float) -> bool:
    """Say whether rclone answers at all; a refusal is an answer."""
    try:
        await call_control(socket, "rc/noop", deadline_s=deadline_s)
    except (HungError, ProcessError):
        return False
    except MountError:
        return True
    return True


async def hasten_uploads(socket: Path, *, deadline_s: float) -> None:
    """
    Let every queued upload be due now, whatever ``vfs-write-back`` says.

    Raises:
        MountError: as :func:`call_control`; the uploads follow in their own time.
    """
    try:
        async with asyncio.timeout(deadline_s):
            queue = (await call_control(socket, "vfs/queue", deadline_s=deadline_s)).get("queue") or ()
            waiting = [item["id"] for item in queue if not item.get("uploading") and item.get("expiry", 0) > 0]
            for number in waiting[:_HASTENED_AT_MOST]:
                due = {"id": number, "expiry": _LONG_AGO_S}
                await call_control(socket, "vfs/queue-set-expiry", due, deadline_s=deadline_s)
    except TimeoutError:
        return  # the others are due when they were


async def refresh_listings(socket: Path, *, deadline_s: float) -> None:
    """
    Read all listings that rclone holds again, so that new content shows at once.

    ``vfs/forget`` would be cheaper, but makes the kernel drop mounts that lie below this one.

    Raises:
        MountError: the remote cannot be read; the old listings stay.
    """
    _raise_for_refresh(await call_control(socket, "vfs/refresh", {"recursive": "true"}, deadline_s=deadline_s))


async def set_keys(socket: Path, remote: str, keys: Mapping[str, Any], *, deadline_s: float) -> None:
    """
    Give the running *remote* other keys and read its root with them.

    Raises:
        MountError: they do not work; the remote has them nevertheless.
    """
    parameters = {"command": "set", "fs": remote, "opt": dict(keys)}
    await call_control(socket, "backend/command", parameters, deadline_s=deadline_s / 2)
    _raise_for_refresh(await call_control(socket, "vfs/refresh", deadline_s=deadline_s / 2))


async def _count_uploads(socket: Path, *, deadline_s: float) -> int:
    cache = (await call_control(socket, "vfs/stats", deadline_s=deadline_s)).get("diskCache") or {}
    return int(cache.get("uploadsInProgress", 0)) + int(cache.get("uploadsQueued", 0))


def _raise_for_refresh(answer: Mapping[str, Any]) -> None:
    """``vfs/refresh`` answers with one verdict per directory, "OK" or the reason."""
    verdicts = answer.get("result")
    reasons = [str(text) for text in verdicts.values() if text != "OK"] if isinstance(verdicts, dict) else []
    if not reasons:
        return
    sign = find_sign("\n".join(reasons), SIGNS)
    raise MountError(
        "cannot read the remote" + (f": {sign.why}" if sign else ""),
        code=sign.code if sign else ErrorCode.UNREACHABLE,
        detail="\n".join(reasons),
    )
