"""Several ordered sources read as one: for as long as they last, and without waiting for one that is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

QUIET_S = 0.3
"""A source that says nothing for so long has nothing older than what another one has said."""


async def in_order(
    sources: Sequence[AsyncGenerator[T, None]], *, key: Callable[[T], float], quiet_s: float = QUIET_S
) -> AsyncGenerator[T, None]:
    """
    Yield what *sources* yield, the smallest *key* first.

    Args:
        sources: Each in order; closed with this.
        key: What they are ordered by.
        quiet_s: How long an item waits for an older one of a source that has nothing at the moment.
    """
    heads: dict[int, T] = {}
    asked = {number: asyncio.ensure_future(anext(source)) for number, source in enumerate(sources)}
    try:
        while heads or asked:
            if asked:
                await asyncio.wait(
                    asked.values(),
                    timeout=quiet_s if heads else None,
                    return_when=asyncio.ALL_COMPLETED if heads else asyncio.FIRST_COMPLETED,
                )
            for number in [number for number, answer in asked.items() if answer.done()]:
                try:
                    heads[number] = asked.pop(number).result()
                except StopAsyncIteration:
                    continue
            if heads:
                first = min(heads, key=lambda number: key(heads[number]))
                yield heads.pop(first)
                asked[first] = asyncio.ensure_future(anext(sources[first]))
    finally:
        for answer in asked.values():
            answer.cancel()
        await asyncio.gather(*asked.values(), return_exceptions=True)
        for source in sources:
            await source.aclose()
