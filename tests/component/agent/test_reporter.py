"""Reports: one for a burst of changes, one on every connect, and a heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent.reporter import Reporter
from weft.errors import BrokerUnreachableError, ErrorCode, PayloadTooLargeError
from weft.link import LinkState
from weft.wire.ids import VmId
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus, decode_status


class FakeLink:
    """As much of a link as a reporter needs."""

    def __init__(self) -> None:
        self.state = LinkState.DISCONNECTED
        self.sent: list[VmStatus] = []
        self.fails = False
        self.max_payload = 1 << 20
        self.callbacks: list[Callable[[], Awaitable[None] | None]] = []
        self._was_sent = asyncio.Event()

    def on_connected(self, callback: Callable[[], Awaitable[None] | None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    async def publish(self, subject: str, data: bytes) -> None:
        assert subject == "weft.status.vm-7"
        if self.fails:
            self.fails = False
            raise BrokerUnreachableError("cannot publish")
        if len(data) > self.max_payload:
            raise PayloadTooLargeError("cannot send")
        self.sent.append(decode_status(data))
        self._was_sent.set()

    def connect(self) -> None:
        self.state = LinkState.CONNECTED
        for callback in self.callbacks:
            callback()

    async def until_sent(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self._was_sent.clear()
                await self._was_sent.wait()


@pytest.fixture
async def link() -> FakeLink:
    """A link that is not connected yet."""
    return FakeLink()


async def run_with(link: FakeLink, story: Callable[[Reporter], Awaitable[None]], *, heartbeat_s: float = 60.0) -> None:
    def build() -> VmStatus:
        return VmStatus(vm="vm-7", revision=len(link.sent) + 1)

    reporter = Reporter(link, VmId("vm-7"), build, heartbeat_s=heartbeat_s, jitter=lambda: 0.0)  # type: ignore[arg-type]
    task = asyncio.create_task(reporter.run())
    try:
        await asyncio.sleep(0)
        await story(reporter)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert link.callbacks == []


async def test_a_burst_of_changes_makes_one_report(link: FakeLink) -> None:
    """Twenty shares come up together."""

    async def story(reporter: Reporter) -> None:
        link.connect()
        await link.until_sent(1)
        for _ in range(20):
            reporter.note_change()
        await link.until_sent(2)
        reporter.note_change()
        await link.until_sent(3)

    await run_with(link, story)
    assert [status.revision for status in link.sent] == [1, 2, 3]


async def test_nothing_is_sent_while_away_and_everything_on_the_connect(link: FakeLink) -> None:
    """What was published into nothing would be lost."""

    async def story(reporter: Reporter) -> None:
        reporter.note_change()
        await asyncio.sleep(0)
        assert link.sent == []
        link.connect()
        await link.until_sent(1)

    await run_with(link, story)


async def test_the_heartbeat_repeats_the_status(link: FakeLink) -> None:
    """Also when nothing changes, and after a publish that failed."""

    async def story(reporter: Reporter) -> None:
        link.fails = True
        link.connect()
        await link.until_sent(2)

    await run_with(link, story, heartbeat_s=0.05)


async def test_a_report_that_is_too_large_goes_without_details(link: FakeLink) -> None:
    """Else a guest with hundreds of failing shares would look as if it were silent."""
    error = ShareError(code=ErrorCode.AUTH, message="cannot mount", detail="x" * 9000)
    share = ShareStatus(id="a", state=ShareState.FAILED, error=error)
    link.max_payload = 1000
    link.connect()
    reporter = Reporter(link, VmId("vm-7"), lambda: VmStatus(vm="vm-7", shares=(share,)), heartbeat_s=60.0)  # type: ignore[arg-type]
    task = asyncio.create_task(reporter.run())
    try:
        await link.until_sent(1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    (sent,) = link.sent
    assert sent.shares[0].error == ShareError(code=ErrorCode.AUTH, message="cannot mount")
