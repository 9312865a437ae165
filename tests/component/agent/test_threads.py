"""Calls in threads: one that hangs keeps neither the others nor the end waiting."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from agent.threads import OwnThreads


def test_calls_that_hang_keep_nobody_waiting() -> None:
    """Lookups while the name servers are away: the ledger is written all the same, and the agent ends when told."""
    released = Event()

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(OwnThreads())
        hanging = [loop.run_in_executor(None, released.wait) for _ in range(50)]
        async with asyncio.timeout(5):
            answer = await asyncio.to_thread(lambda: "written")
        for lookup in hanging:
            lookup.cancel()
        return answer

    try:
        assert asyncio.run(main()) == "written"
        assert not released.is_set()
    finally:
        released.set()


async def test_what_a_call_raises_arrives() -> None:
    """As with any other pool."""
    asyncio.get_running_loop().set_default_executor(OwnThreads())
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)
