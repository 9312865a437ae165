"""Talks to a running rclone over its control socket, always within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from agent.drivers.http_call import HttpError, call
from weft.errors import ErrorCode, HungError, MountError, ProcessError


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
        HungError: no answer in time.
        ProcessError: nobody listens: the client is gone.
        MountError: the client refuses; the detail says why.
    """
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
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


async def refresh_listings(socket: Path, *, deadline_s: float) -> None:
    """
    Read all listings that rclone holds again, so that new content shows at once.

    ``vfs/forget`` would be cheaper, but makes the kernel drop mounts that lie below this one.

    Raises:
        MountError: the remote cannot be read; the old listings stay.
    """
    answer = await call_control(socket, "vfs/refresh", {"recursive": "true"}, deadline_s=deadline_s)
    raise_for_refresh(answer)


def raise_for_refresh(answer: Mapping[str, Any]) -> None:
    """
    Check the answer of ``vfs/refresh``: one verdict per directory, "OK" or the reason.

    Raises:
        MountError: a directory could not be read.
    """
    verdicts = answer.get("result")
    reasons = [str(text) for text in verdicts.values() if text != "OK"] if isinstance(verdicts, dict) else []
    if reasons:
        raise MountError("cannot read the remote", code=ErrorCode.UNREACHABLE, detail="\n".join(reasons))
