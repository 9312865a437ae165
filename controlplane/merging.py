"""Several ordered sources read as one: for as long as they last, and without waiting for one that is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

BEGIN_S = 1.0
"""Where a source may never end: how long its first word is waited for, while another one has something to say."""
QUIET_S = 0.3
"""The same after each of its words."""


async def in_order(
    sources: Sequence[AsyncGenerator[T, None]], *, key: Callable[[T], float], is_endless: bool
) -> AsyncGenerator[T, None]:
    """
    Yield what *sources* yield, the smallest *key* first.

    Args:
        sources: Each in order; closed with this.
        key: What they are ordered by.
        is_endless: Whether a source may have nothing more and not end; then it is waited for a moment only.
    """
    now_s = asyncio.get_running_loop().time
    heads: dict[int, T] = {}
    asked = {number: asyncio.ensure_future(anext(source)) for number, source in enumerate(sources)}
    until_s = dict.fromkeys(asked, now_s() + BEGIN_S)
    try:
        while heads or asked:
            left_s = max((until_s[number] for number in asked), default=0.0) - now_s()
            if asked:
                await asyncio.wait(
                    asked.values(),
                    timeout=max(0.0, left_s) if heads and is_endless else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            for number in [number for number, answer in asked.items() if answer.done()]:
                try:
                    heads[number] = asked.pop(number).result()
                except StopAsyncIteration:
                    continue
            is_waiting = any(not is_endless or until_s[number] > now_s() for number in asked)
            if heads and not is_waiting:
                first = min(heads, key=lambda number: key(heads[number]))
                yield heads.pop(first)
                asked[first] = asyncio.ensure_future(anext(sources[first]))
                until_s[first] = now_s() + QUIET_S
    finally:
        for answer in asked.values():
            answer.cancel()
        await asyncio.gather(*asked.values(), return_exceptions=True)
        for source in sources:
            await source.aclose()
