"""The outbox: in order, within bounds, and each event stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from agent.event_outbox import EventOutbox
from agent.events import Happening
from weft.errors import BrokerUnreachableError
from weft.link import LinkState
from weft.wire.events import Event, decode_event
from weft.wire.ids import VmId


class FakeLink:
    """As much of a link as an outbox needs; a flush confirms what was published before it."""

    def __init__(self) -> None:
        self.state = LinkState.DISCONNECTED
        self.stored: dict[str, tuple[str, Event]] = {}
        self.failing_flushes = 0
        self._callbacks: list[Callable[[], Awaitable[None] | None]] = []
        self._moved = asyncio.Event()
        self.failed = asyncio.Event()

    def on_connected(self, callback: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def publish(self, subject: str, data: bytes, *, headers: Mapping[str, str]) -> None:
        self.stored.setdefault(headers["Nats-Msg-Id"], (subject, decode_event(Event, data)))

    async def flush(self) -> None:
        if self.failing_flushes:
            self.failing_flushes -= 1
            self.state = LinkState.DISCONNECTED
            self.failed.set()
            raise BrokerUnreachableError("cannot flush")
        self._moved.set()

    def connect(self) -> None:
        self.state = LinkState.CONNECTED
        for callback in self._callbacks:
            callback()

    async def until_flushed(self) -> None:
        async with asyncio.timeout(5):
            await self._moved.wait()
        self._moved.clear()

    @property
    def messages(self) -> list[str]:
        return [event.message for _, event in self.stored.values()]


def happening(number: int) -> Happening:
    return Happening("share.failed", Event(vm="vm-7", message=str(number)))


@asynccontextmanager
async def running(link: FakeLink, *, limit: int = 1000) -> AsyncIterator[EventOutbox]:
    outbox = EventOutbox(link, VmId("vm-7"), run_id="r", limit=limit)  # type: ignore[arg-type]
    task = asyncio.create_task(outbox.run())
    try:
        await asyncio.sleep(0)
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_events_wait_for_the_broker_and_go_in_order() -> None:
    """What happened while it was away is told afterwards, under the guest's own subject."""
    link = FakeLink()
    async with running(link) as outbox:
        outbox.put(*(happening(n) for n in range(250)))
        await asyncio.sleep(0)
        assert link.stored == {}
        link.connect()
        while len(link.stored) < 250:
            await link.until_flushed()
    assert link.messages == [str(n) for n in range(250)]
    assert {subject for subject, _ in link.stored.values()} == {"weft.events.vm.vm-7.share.failed"}


async def test_the_newest_are_kept_and_the_loss_is_said() -> None:
    """A guest that is alone for a week must not fill its memory."""
    link = FakeLink()
    async with running(link, limit=3) as outbox:
        outbox.put(*(happening(n) for n in range(10)))
        link.connect()
        await link.until_flushed()
    assert link.messages == ["7 earlier events were dropped: the broker was away for too long", "7", "8", "9"]
    assert next(iter(link.stored.values()))[0] == "weft.events.vm.vm-7.events.dropped"


async def test_what_was_not_confirmed_is_sent_again_under_the_same_id() -> None:
    """The stream keeps one of the two."""
    link = FakeLink()
    link.failing_flushes = 1
    async with running(link) as outbox:
        link.connect()
        outbox.put(happening(1))
        async with asyncio.timeout(5):
            await link.failed.wait()
        outbox.put(happening(2))
        link.connect()
        await link.until_flushed()
    assert link.messages == ["1", "2"]
