"""Files that only a share's cache has: saved before a start, counted, kept and told when a share goes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from agent.actual import LiveMount, Stage
from agent.drivers.base import PendingUploads
from agent.mounts import places
from agent.mounts.parts import Parts
from agent.mounts.prepare import Prepared
from agent.mounts.take_down import TakenDown
from weft.errors import ErrorCode, MountError

_log = structlog.get_logger(__name__)

_NAMED_AT_MOST = 20
"""Files named in one log line."""


async def mend_cache(prepared: Prepared) -> None:
    """
    Have the driver save, before a start, what a killed client left half described.

    Raises:
        MountError: the guest's own disk cannot be read.
    """
    share, cache_dir = prepared.share, prepared.context.cache_dir
    try:
        mended = await asyncio.to_thread(prepared.driver.mend_cache, cache_dir)
    except OSError as exc:
        why = os.strerror(exc.errno or 0).lower()
        raise MountError(f"cannot read the cache of share {share.id!r} in {str(cache_dir)!r}: {why}") from exc
    if mended:
        _log.warning("uploads.rescued", share=share.id, files=len(mended), detail="\n".join(mended[:_NAMED_AT_MOST]))


async def settle_cache(live: LiveMount, taken: TakenDown, *, parts: Parts) -> None:
    """
    Remove the cache of a share that is gone for good, unless something in it may not be stored anywhere else.

    Args:
        live: Its record, as it was before it was taken down.
        taken: How it went.
        parts: What to work with.
    """
    root = places.cache_root(parts.state_dir, live.share_id)
    try:
        stranded = await asyncio.to_thread(_find_stranded, live, parts)
        if stranded is None and live.stage is not Stage.DOWN:
            stranded = taken.pending
        if stranded is not None and stranded.files == 0:
            await asyncio.to_thread(places.remove_cache, parts.state_dir, live.share_id)
            return
    except OSError as exc:
        _log.warning("uploads.kept", share=live.share_id, path=str(root), error=os.strerror(exc.errno or 0))
        return
    if root.is_dir():
        _tell_kept(live, stranded, root, parts)


def _find_stranded(live: LiveMount, parts: Parts) -> PendingUploads | None:
    """Count what lies in the share's caches, whichever backend filled them; None where nobody can say."""
    found = [
        waiting
        for cache in places.cache_dirs(parts.state_dir, live.share_id)
        for driver in parts.drivers.values()
        if (waiting := driver.find_stranded(cache)) is not None
    ]
    if not found:
        return None
    return PendingUploads(
        files=sum(each.files for each in found), total_bytes=sum(each.total_bytes or 0 for each in found)
    )


def _tell_kept(live: LiveMount, stranded: PendingUploads | None, root: Path, parts: Parts) -> None:
    files = None if stranded is None else stranded.files
    size = None if stranded is None else stranded.total_bytes
    _log.warning("uploads.kept", share=live.share_id, pending=files, bytes=size, path=str(root))
    many = "an unknown number of files" if stranded is None else f"{stranded.files} files ({size or 0} bytes)"
    parts.remark(
        live.share_id,
        MountError(
            f"{many} of share {live.share_id!r} may not be stored in its backend yet; they are kept on this guest "
            "and sent when it is mounted again",
            code=ErrorCode.UNREACHABLE,
            detail=str(root),
        ),
    )
