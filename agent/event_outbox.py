"""The outbox of events: sent in order while there is a broker, kept within bounds while there is none."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime

import structlog

from agent.events import Happening
from weft.errors import BrokerError
from weft.link import Link, LinkState
from weft.wire.events import Event, encode_event
from weft.wire.ids import VmId
from weft.wire.subjects import event_subject

LIMIT = 1000
"""Twenty shares that fail and come back for an hour; about 300 kB."""
BATCH = 100
GATHER_S = 0.03
"""Shares that change together are sent together."""
AGAIN_S = 5.0
"""After a batch that the broker did not confirm although it is there."""

log = structlog.get_logger("weft.events")


class EventOutbox:
    """
    Send events; the newest are kept when there are too many.

    Every event carries an id, so that one which is sent again after a lost confirmation is stored once.

    Args:
        link: The broker.
        vm: Whose events they are.
        run_id: Differs with every run of the agent.
        limit: Most events kept while there is no broker.
    """

    def __init__(self, link: Link, vm: VmId, *, run_id: str, limit: int = LIMIT) -> None:
        self._link = link
        self._vm = vm
        self._run_id = run_id
        self._limit = limit
        self._waiting: deque[tuple[int, Happening]] = deque()
        self._count = 0
        self._dropped = 0
        self._news = asyncio.Event()

    def put(self, *happenings: Happening) -> None:
        """Keep *happenings* until they are sent; never waits."""
        for happening in happenings:
            self._count += 1
            self._waiting.append((self._count, happening))
        if happenings:
            self._bound()
            self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        forget = self._link.on_connected(self._news.set)
        try:
            while True:
                is_sent = self._link.state is not LinkState.CONNECTED or await self._send()
                await self._pause(None if is_sent else AGAIN_S)
        finally:
            forget()

    async def _pause(self, longest_s: float | None) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
        await asyncio.sleep(GATHER_S)

    async def _send(self) -> bool:
        """Send everything; say whether the broker confirmed it."""
        while self._waiting or self._dropped:
            if self._dropped:
                self._waiting.appendleft(self._dropping())
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                for number, happening in batch:
                    subject = event_subject(self._vm, happening.kind)
                    headers = {"Nats-Msg-Id": f"{self._vm}.{self._run_id}.{number}"}
                    await self._link.publish(subject, encode_event(happening.event), headers=headers)
                await self._link.flush()
            except BrokerError as exc:
                log.debug("events.postponed", error=str(exc))
                self._waiting.extendleft(reversed(batch))
                self._bound()
                return False
        return True

    def _dropping(self) -> tuple[int, Happening]:
        dropped, self._dropped = self._dropped, 0
        self._count += 1
        log.warning("events.dropped", vm=self._vm, count=dropped)
        message = f"{dropped} earlier events were dropped: the broker was away for too long"
        return self._count, Happening("events.dropped", Event(vm=self._vm, message=message, at=datetime.now(UTC)))

    def _bound(self) -> None:
        while len(self._waiting) > self._limit:
            self._waiting.popleft()
            self._dropped += 1
