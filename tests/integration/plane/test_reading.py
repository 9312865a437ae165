"""Reading a stream that keeps many editions of each entry: the last ones are asked for by name."""

from __future__ import annotations

import asyncio

import pytest

from controlplane import ControlPlane
from controlplane.catalog import EVERYTHING
from controlplane.direct import read_each, read_stored
from controlplane.jetstream import stream_facts
from controlplane.reader import read_complete
from tests.parts.broker import Broker
from weft.wire.subjects import CATALOG_PREFIX, CATALOG_STREAM

pytestmark = pytest.mark.integration

KEYS = [f"{CATALOG_PREFIX}share.s{number}" for number in range(300)]


async def write(plane: ControlPlane, *editions: int) -> None:
    """Store these editions of every key, one after the other."""
    for edition in editions:
        for key in KEYS:
            await plane.link.publish(key, f"{key} {edition}".encode())
        await plane.link.flush()
    await plane.link.request(KEYS[0], f"{KEYS[0]} {editions[-1]}".encode(), timeout_s=10)


async def test_the_last_editions_are_read_among_many(broker: Broker, plane: ControlPlane) -> None:
    """As if all had been read; and what comes later is found from there."""
    async with asyncio.timeout(60):
        await write(plane, *range(6))
        first = await read_complete(plane.link, CATALOG_STREAM, EVERYTHING)
        everything = {m.subject: m async for m in read_stored(plane.link, CATALOG_STREAM, EVERYTHING)}
        assert first.last == everything
        assert first.facts.messages > 4 * len(everything)
        await write(plane, 6)
        later = await read_complete(plane.link, CATALOG_STREAM, EVERYTHING, after=first)
        fresh = await read_complete(plane.link, CATALOG_STREAM, EVERYTHING)
    assert later.last == fresh.last
    assert {message.data.rsplit(b" ", 1)[1] for key, message in fresh.last.items() if key in KEYS} == {b"6"}


async def test_an_answer_that_is_not_complete_is_none(broker: Broker, plane: ControlPlane) -> None:
    """Whoever answers has not come so far, or does not have one of the entries: everything is read then."""
    await write(plane, 0)
    reached = (await stream_facts(plane.link, CATALOG_STREAM)).last_seq
    assert await read_each(plane.link, CATALOG_STREAM, KEYS[:200], at_least=reached) is not None
    assert await read_each(plane.link, CATALOG_STREAM, KEYS[:200], at_least=reached + 1) is None
    assert await read_each(plane.link, CATALOG_STREAM, [*KEYS[:9], f"{CATALOG_PREFIX}no"], at_least=reached) is None
