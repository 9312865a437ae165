"""Waiting out a change of leaders: one just deposed still answers for a moment, and then nobody does for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from weft.errors import CatalogBehindError, NoLeaderError

T = TypeVar("T")
PATIENCE_S = 3.0
"""A server that was held still, or cut off, learns from the first message of its successor that it leads no more."""
ELECTION_S = 10.0
"""A node that was held still answers for nobody until it has heard of the leader: up to an election's few seconds."""
PAUSE_S = 0.1


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """
    Do *work*, again and again for a while where the same catalog seems to end too early, or nobody leads.

    Args:
        work: May be begun anew after it raised CatalogBehindError or NoLeaderError.

    Raises:
        CatalogBehindError: It is another catalog, or stays behind.
        NoLeaderError: Nobody was elected.
    """
    begun_s = asyncio.get_running_loop().time()
    while True:
        try:
            return await work()
        except CatalogBehindError as exc:
            if not exc.may_catch_up or asyncio.get_running_loop().time() > begun_s + PATIENCE_S:
                raise
        except NoLeaderError:
            if asyncio.get_running_loop().time() > begun_s + ELECTION_S:
                raise
        await asyncio.sleep(PAUSE_S)
