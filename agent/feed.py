"""The feed: this guest's desired state from the broker, live and by reading, whatever the broker can do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.msg import Msg

from agent.desired import Stamp
from agent.stored import Arrived, StoredState, parse_stamp
from weft.errors import BrokerDeniedError, NoRespondersError, StreamMissingError, WeftError
from weft.link import Link, LinkState, Subscription
from weft.wire.ids import VmId
from weft.wire.status import Mode
from weft.wire.subjects import MOUNTS_STREAM, live_subject, subject

READ_INTERVAL_S = 60.0
RETRY_S = 2.0
"""After a failed read; jittered, and well above what ten thousand guests at once would make a storm."""

RE_READS_S = (0.02, 0.1, 0.5, 2.0)
"""After a hint from a plain subscription: the message flies past before the stream has stored it, or refused it."""

log = structlog.get_logger("weft.feed")


class Feed:
    """
    Deliver this guest's desired state.

    Normally: a subscription to the live copies, and Direct Get of the stored message on every connect, at an interval,
    and whenever something hints at news. A stream with plain settings is read through the stream API, a subscription to
    its subject giving the hints. Without JetStream on the server, messages are taken as they fly by.

    Args:
        link: The broker.
        vm: Whose state.
        deliver: Called for each message, in order of arrival; repetitions and old copies are its to judge.
        may_create_stream: Whether to create a missing stream (development only).
        read_interval_s: Seconds between reads, jittered by a quarter.
        jitter: Uniform in [0, 1).
    """

    def __init__(
        self,
        link: Link,
        vm: VmId,
        deliver: Callable[[Arrived], Awaitable[None]],
        *,
        may_create_stream: bool = False,
        read_interval_s: float = READ_INTERVAL_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._link = link
        self._vm = vm
        self._subject = subject(vm)
        self._stored = StoredState(link, vm)
        self._deliver = deliver
        self._may_create_stream = may_create_stream
        self._read_interval_s = read_interval_s
        self._jitter = jitter
        self._news = asyncio.Event()
        self._plain: Subscription | None = None
        self._is_core = False
        self._problem: WeftError | None = None
        self._last_stamp: Stamp | None = None
        self._re_reads_s: list[float] = []
        self._reads = 0
        self._is_reading = False
        self._was_read = asyncio.Event()

    @property
    def mode(self) -> Mode:
        """How this guest hears the control plane right now."""
        if self._link.state is not LinkState.CONNECTED:
            return Mode.OFFLINE
        return Mode.CORE if self._is_core else Mode.JETSTREAM

    @property
    def problem(self) -> str | None:
        """Why the last read failed, None if it did not."""
        return self._link.problem or (str(self._problem) if self._problem else None)

    async def run(self) -> None:
        """Deliver until cancelled."""
        live = await self._link.subscribe(live_subject(self._vm), self._on_live)
        forget = self._link.on_connected(self.read_soon)
        self.read_soon()
        try:
            while True:
                delay_s = await self._read_and_tell()
                await self._wait_for_news(delay_s)
        finally:
            forget()
            await live.unsubscribe()
            await self._drop_plain()

    def read_soon(self) -> None:
        """Read the stored message at the next turn."""
        self._news.set()

    async def read_now(self) -> None:
        """Return after a read that began after this call, whether it found anything or failed."""
        enough = self._reads + 1 + self._is_reading  # the read under way may have begun before what we look for
        self.read_soon()
        while self._reads < enough:
            self._was_read.clear()
            await self._was_read.wait()

    async def _wait_for_news(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s * (0.75 + self._jitter() / 2)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _read_and_tell(self) -> float:
        """Read once and return the seconds until the next read."""
        self._news.clear()
        self._is_reading = True
        try:
            return await self._read_and_deliver()
        finally:
            self._is_reading = False
            self._reads += 1
            self._was_read.set()

    async def _read_and_deliver(self) -> float:
        if self._link.state is not LinkState.CONNECTED:
            return self._read_interval_s  # connecting is news
        try:
            arrived = await self._read()
            await self._take_read(arrived)
            self._refuse_deafness()
        except WeftError as exc:
            if str(exc) != str(self._problem):
                log.warning("stream.unreadable", vm=self._vm, error=str(exc))
            self._problem = exc
            return min(RETRY_S, self._read_interval_s)
        if self._problem is not None:
            log.info("stream.readable", vm=self._vm)
            self._problem = None
        return self._re_reads_s.pop(0) if self._re_reads_s else self._read_interval_s

    async def _take_read(self, arrived: Arrived | None) -> None:
        stamp = arrived.stamp if arrived is not None else None
        if stamp != self._last_stamp:
            self._re_reads_s.clear()
        self._last_stamp = stamp
        if arrived is not None:
            await self._deliver(arrived)

    def _refuse_deafness(self) -> None:
        """Being allowed to read but not to listen looks healthy, and learns everything late."""
        live = live_subject(self._vm)
        if live in self._link.denied_subjects:
            raise BrokerDeniedError(f"cannot hear live changes: the broker denies subscribing to {live}")

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read(self) -> Arrived | None:
        """
        Read the stored message by the best way this broker offers.

        Returns:
            The message, None where the stream has none for this guest or nothing is stored at all (core mode).
        """
        try:
            arrived = await self._stored.read_directly()
        except NoRespondersError:
            return await self._read_otherwise()
        await self._leave_core()
        await self._drop_plain()
        return arrived

    async def _read_otherwise(self) -> Arrived | None:
        if not self._link.has_jetstream:
            await self._enter_core()
            return None
        await self._leave_core()
        await self._listen_plain()
        try:
            return await self._stored.read_through_api()
        except StreamMissingError:
            if not self._may_create_stream:
                raise
            await self._stored.create()
            return await self._stored.read_through_api()

    # --- hearing --------------------------------------------------------------------------------------------------

    async def _on_live(self, msg: Msg) -> None:
        headers = msg.headers or {}
        stamp = parse_stamp(headers)
        if headers.get("Nats-Stream") == MOUNTS_STREAM and headers.get("Nats-Subject") == self._subject and stamp:
            await self._deliver(Arrived(msg.data, stamp))
        else:
            self.read_soon()

    async def _on_plain(self, msg: Msg) -> None:
        if self._is_core:
            await self._deliver(Arrived(msg.data, None))
        else:
            self._re_reads_s = list(RE_READS_S)
            self.read_soon()

    async def _listen_plain(self) -> None:
        if self._plain is None:
            self._plain = await self._link.subscribe(self._subject, self._on_plain)
            await self._link.flush()

    async def _drop_plain(self) -> None:
        plain, self._plain = self._plain, None
        if plain is not None:
            await plain.unsubscribe()

    async def _enter_core(self) -> None:
        if not self._is_core:
            self._is_core = True
            log.warning(
                "stream.absent",
                vm=self._vm,
                error="the broker has no JetStream: messages published while this guest is away are lost",
            )
        await self._listen_plain()

    async def _leave_core(self) -> None:
        if self._is_core:
            self._is_core = False
            log.info("stream.present", vm=self._vm)
