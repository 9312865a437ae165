"""The reporter: publish the guest's status on every change, coalesced, and as a heartbeat."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import structlog

from weft.errors import BrokerError, PayloadTooLargeError
from weft.link import Link, LinkState
from weft.wire.ids import VmId
from weft.wire.status import MAX_STATUS_BYTES, VmStatus, encode_status, in_short, without_details
from weft.wire.subjects import status_subject

COALESCE_S = 0.03
"""Twenty shares that come up together make one report; an operator who waits does not notice the delay."""

log = structlog.get_logger("weft.report")


class Reporter:
    """
    Publish what *build* returns.

    Args:
        link: The broker.
        vm: Who reports.
        build: Builds the status of this moment.
        heartbeat_s: Longest time between two reports; the wait is jittered below it.
        jitter: Uniform in [0, 1).
    """

    def __init__(
        self,
        link: Link,
        vm: VmId,
        build: Callable[[], VmStatus],
        *,
        heartbeat_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._link = link
        self._subject = status_subject(vm)
        self._build = build
        self._heartbeat_s = heartbeat_s
        self._jitter = jitter
        self._news = asyncio.Event()

    def note_change(self) -> None:
        """Report soon."""
        self._news.set()

    async def run(self) -> None:
        """Report until cancelled."""
        forget = self._link.on_connected(self.note_change)
        try:
            while True:
                self._news.clear()
                await self._publish()
                await self._wait()
        finally:
            forget()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._heartbeat_s * (0.8 + self._jitter() * 0.2)):
                await self._news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(COALESCE_S)

    async def _publish(self) -> None:
        if self._link.state is not LinkState.CONNECTED:
            return  # on_connected reports
        try:
            await self._send(self._build())
        except BrokerError as exc:
            log.debug("report.postponed", error=str(exc))
            return
        log.debug("report.published")

    async def _send(self, status: VmStatus) -> None:
        """Send all of it, or what fits: better a report without what the clients printed than none at all."""
        for shorten in (None, without_details):
            data = encode_status(shorten(status) if shorten else status)
            try:
                if len(data) > MAX_STATUS_BYTES:
                    raise PayloadTooLargeError(f"cannot report {len(data)} bytes: the stream takes {MAX_STATUS_BYTES}")
                await self._link.publish(self._subject, data)
            except PayloadTooLargeError:
                continue
            return
        await self._link.publish(self._subject, encode_status(in_short(status)))
