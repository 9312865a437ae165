"""Wait, bounded, until a client has stored in its backend all that it accepted."""

from __future__ import annotations

import asyncio

import structlog

from agent.actual import LiveMount
from agent.drivers.base import Driver, MountContext, PendingUploads
from agent.mounts.liveness import Liveness
from agent.mounts.parts import Parts
from agent.supervise.process import ClientProcess
from weft.errors import MountError, ProcessError

_log = structlog.get_logger(__name__)

_FIRST_ASK_AGAIN_S = 0.05
_LONGEST_ASK_AGAIN_S = 1.0
_ASK_DEADLINE_S = 5.0
"""For one question about uploads; a client that answers later than this is not going to say."""


async def drain(
    live: LiveMount, process: ClientProcess | None, *, parts: Parts, is_hung: bool = False
) -> PendingUploads | None:
    """
    Have the client store what waits, and see it done; a client can only be asked, so it is, ever less.

    Args:
        live: The share's record.
        process: Its client.
        parts: What to work with.
        is_hung: Whether its mount is known not to answer: its backend is most likely away, so little can be hoped for.

    Returns:
        What it had not stored in the end; None where nobody can say.
    """
    if process is None or process.has_exited or live.share.backend_name not in parts.drivers:
        return PendingUploads(files=0) if live.process is None else None
    if process.is_stopped:
        return None
    driver = parts.drivers[live.share.backend_name]
    context = parts.context(live.share, source=live.source)
    try:
        pending = await _ask(driver, context, process, deadline_s=_ASK_DEADLINE_S)
        if pending.files == 0:
            return pending
        is_hung = is_hung or await _is_silent(live, parts)
        await driver.hasten_uploads(context, deadline_s=_ASK_DEADLINE_S)
        return await _wait(
            driver, context, process, pending, limit_s=parts.limits.sick_drain_s if is_hung else parts.limits.drain_s
        )
    except MountError as exc:
        _log.warning("unmount.deferred", share=live.share_id, error=str(exc), pending=None)
        return None


async def _ask(driver: Driver, context: MountContext, process: ClientProcess, *, deadline_s: float) -> PendingUploads:
    """Ask what waits; a client that ends meanwhile, as one does whose mount is gone, is not waited for."""
    question = asyncio.ensure_future(driver.find_pending(context, deadline_s=deadline_s))
    ended = asyncio.ensure_future(process.wait(deadline_s=deadline_s))
    try:
        await asyncio.wait({question, ended}, return_when=asyncio.FIRST_COMPLETED)
        if process.has_exited and not question.done():
            raise ProcessError(f"the client of share {context.share.id!r} ended before it said what waits")
        return await question
    finally:
        question.cancel()
        ended.cancel()


async def _wait(
    driver: Driver, context: MountContext, process: ClientProcess, pending: PendingUploads, *, limit_s: float
) -> PendingUploads:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + limit_s
    again_s = _FIRST_ASK_AGAIN_S
    while pending.files and loop.time() + again_s <= deadline_s:
        if await process.wait(deadline_s=again_s):
            return pending
        left_s = max(deadline_s - loop.time(), _FIRST_ASK_AGAIN_S)
        pending = await driver.find_pending(context, deadline_s=min(left_s, _ASK_DEADLINE_S))
        again_s = min(again_s * 2, _LONGEST_ASK_AGAIN_S)
    return pending


async def _is_silent(live: LiveMount, parts: Parts) -> bool:
    try:
        found = await parts.walker.probe(live.real_path, deadline_s=parts.limits.probe_s, mount_id=live.mount_id)
        return found is Liveness.HUNG
    except MountError:
        return False  # it is gone, or the walker failed: neither says that waiting is pointless
