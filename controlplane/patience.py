"""Waiting for a catalog that seems older than the stream: a leader that was just deposed still answers for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from weft.errors import CatalogBehindError

T = TypeVar("T")
PATIENCE_S = 3.0
"""A server that was held still, or cut off, learns from the first message of its successor that it leads no more."""
PAUSE_S = 0.1


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """
    Do *work*, again and again for a while where the same catalog seems to end too early.

    Args:
        work: May be begun anew after it raised CatalogBehindError.

    Raises:
        CatalogBehindError: It is another catalog, or stays behind.
    """
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await work()
        except CatalogBehindError as exc:
            if not exc.may_catch_up or asyncio.get_running_loop().time() > deadline_s:
                raise
        await asyncio.sleep(PAUSE_S)
