"""The ApplyFunc seam, and the smallest thing on top of it: apply what one message says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agent.desired import dismissals
from agent.reconcile.reconciler import ApplyFunc
from weft.errors import DecodeError
from weft.wire.codec import decode_message
from weft.wire.mountset import MountSet
from weft.wire.share import ShareMount

__all__ = ["ApplyFunc", "handle_message"]


async def handle_message(data: bytes, apply: ApplyFunc) -> None:
    """
    Apply every share that a message lists, parents before children, and unmount only what its top level says.

    It remembers nothing: a share that left the list stays. One that fails does not stop the others.

    Args:
        data: A MountSet or a single ShareMount, as it stood on the wire.
        apply: Mounts or unmounts one share.

    Raises:
        DecodeError: The message cannot be read; nothing was applied.
        Exception: The one failure there was: what *apply* raised, or a :class:`DecodeError` for an element of the list.
        ExceptionGroup: Several failures.
    """
    message = decode_message(data)
    match message:
        case ShareMount():
            await apply(message)
        case MountSet():
            failures: list[Exception] = [
                DecodeError(element.reason, share_id=element.id) for element in message.rejected
            ]
            failures += await _apply_all(dismissals(message), apply)
            failures += await _apply_all(sorted(message.shares, key=lambda share: share.mount_point), apply)
            if len(failures) == 1:
                raise failures[0]
            if failures:
                raise ExceptionGroup(f"cannot apply {len(failures)} of the shares", failures)


async def _apply_all(shares: Sequence[ShareMount], apply: ApplyFunc) -> list[Exception]:
    """Apply all at once, except that a share waits for those above it; return the failures in order."""
    tasks: dict[str, asyncio.Task[Exception | None]] = {}
    async with asyncio.TaskGroup() as group:
        for share in shares:
            above = [task for path, task in tasks.items() if path and share.mount_point.startswith(path + "/")]
            tasks[share.mount_point or f"\0{share.id}"] = group.create_task(_apply_after(above, share, apply))
    return [failure for task in tasks.values() if (failure := task.result()) is not None]


async def _apply_after(
    above: Sequence[asyncio.Task[Exception | None]], share: ShareMount, apply: ApplyFunc
) -> Exception | None:
    if above:
        await asyncio.wait(above)
    try:
        await apply(share)
    except Exception as exc:  # noqa: BLE001  # collected for the caller, who gets all of them
        return exc
    return None
