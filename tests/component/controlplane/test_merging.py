"""Several ordered sources read as one: the oldest first, however late each of them begins to speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

import pytest

from controlplane.merging import in_order


async def speaking(numbers: Iterable[float], *, after: asyncio.Event | None = None) -> AsyncGenerator[float, None]:
    """Yield *numbers* at once, or as soon as *after* is set."""
    if after is not None:
        await after.wait()
    for number in numbers:
        yield number


async def silent(said: asyncio.Event) -> AsyncGenerator[float, None]:
    """Say nothing and never end."""
    said.set()
    await asyncio.Event().wait()
    yield 0.0


@pytest.mark.parametrize("is_endless", [False, True], ids=["read", "followed"])
async def test_what_is_older_comes_first_though_its_source_answers_later(is_endless: bool) -> None:
    """The broker answers for one stream before the other: that says nothing about what is older."""
    answered = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, answered.set)
    sources = [speaking([2.0, 4.0]), speaking([1.0, 3.0, 5.0], after=answered)]
    async with asyncio.timeout(10):
        seen = [number async for number in in_order(sources, key=lambda number: number, is_endless=is_endless)]
    assert seen == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_a_source_that_says_nothing_is_waited_for_once() -> None:
    """A thousand events of operators are shown at once, although no guest has anything to say."""
    said = asyncio.Event()
    merged = in_order([speaking(range(1000)), silent(said)], key=lambda number: number, is_endless=True)
    async with asyncio.timeout(10):
        seen = [await anext(merged) for _ in range(1000)]
    await merged.aclose()
    assert said.is_set()
    assert seen == list(range(1000))
