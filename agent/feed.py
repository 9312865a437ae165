"""The feed: this guest's desired state from the broker, live and by reading, whatever the broker can do."""

from __future__ import annotations

import asyncio
import base64
import binascii
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog
from nats.aio.msg import Msg

from agent.desired import Stamp
from weft.errors import (
    BrokerDeniedError,
    BrokerError,
    BrokerUnreachableError,
    NoRespondersError,
    StreamMissingError,
    WeftError,
)
from weft.link import Link, LinkState, Subscription
from weft.wire.ids import VmId
from weft.wire.status import Mode
from weft.wire.subjects import LIVE_TEMPLATE, MOUNTS_ALL, MOUNTS_STREAM, live_subject, subject

DIRECT_GET = f"$JS.API.DIRECT.GET.{MOUNTS_STREAM}."
MESSAGE_GET = f"$JS.API.STREAM.MSG.GET.{MOUNTS_STREAM}"
STREAM_CREATE = f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}"
READ_TIMEOUT_S = 5.0
READ_INTERVAL_S = 60.0
RETRY_S = 2.0
"""After a failed read; jittered, and well above what ten thousand guests at once would make a storm."""
NO_MESSAGE_CODE = 10037

log = structlog.get_logger("weft.feed")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message for this guest, and the broker's place for it (None for one that was not stored)."""

    data: bytes
    stamp: Stamp | None


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
        self._deliver = deliver
        self._may_create_stream = may_create_stream
        self._read_interval_s = read_interval_s
        self._jitter = jitter
        self._news = asyncio.Event()
        self._plain: Subscription | None = None
        self._is_core = False
        self._problem: WeftError | None = None
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
        begun = self._reads
        self.read_soon()
        while self._reads < begun + 1 + self._is_reading:
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
        if self._link.state is not LinkState.CONNECTED:
            return self._read_interval_s
        self._is_reading = True
        try:
            return await self._read_and_deliver()
        finally:
            self._is_reading = False
            self._reads += 1
            self._was_read.set()

    async def _read_and_deliver(self) -> float:
        try:
            arrived = await self._read()
        except WeftError as exc:
            if str(exc) != str(self._problem):
                log.warning("stream.unreadable", vm=self._vm, error=str(exc))
            self._problem = exc
            return min(RETRY_S, self._read_interval_s)
        if self._problem is not None:
            log.info("stream.readable", vm=self._vm)
            self._problem = None
        if arrived is not None:
            await self._deliver(arrived)
        return self._read_interval_s

    # --- reading --------------------------------------------------------------------------------------------------

    async def _read(self) -> Arrived | None:
        """
        Read the stored message by the best way this broker offers.

        Returns:
            The message, None where the stream has none for this guest or nothing is stored at all (core mode).
        """
        try:
            msg = await self._link.request(DIRECT_GET + self._subject, timeout_s=READ_TIMEOUT_S)
        except NoRespondersError:
            return await self._read_otherwise()
        await self._leave_core()
        await self._drop_plain()
        headers = msg.headers or {}
        match headers.get("Status"):
            case None:
                return Arrived(msg.data, _stamp(headers))
            case "404":
                return None
            case status:
                raise BrokerError(f"cannot read {self._subject}: {status} {headers.get('Description', '')}".rstrip())

    async def _read_otherwise(self) -> Arrived | None:
        if not self._link.has_jetstream:
            await self._enter_core()
            return None
        await self._leave_core()
        await self._listen_plain()
        try:
            return await self._read_plain_stream()
        except StreamMissingError:
            if not self._may_create_stream:
                raise
            await self._create_stream()
            return await self._read_plain_stream()

    async def _read_plain_stream(self) -> Arrived | None:
        request = msgspec.json.encode({"last_by_subj": self._subject})
        try:
            msg = await self._link.request(MESSAGE_GET, request, timeout_s=READ_TIMEOUT_S)
        except BrokerDeniedError as exc:
            raise BrokerDeniedError(
                f"cannot read {self._subject}: stream {MOUNTS_STREAM} is missing or offers no Direct Get; run weft init"
            ) from exc
        except NoRespondersError as exc:
            raise StreamMissingError(
                f"cannot read {self._subject}: this account of the broker has no JetStream; run weft init where it has"
            ) from exc
        answer = _decoded(msg.data)
        error = answer.get("error")
        if isinstance(error, dict):
            if error.get("err_code") == NO_MESSAGE_CODE:
                return None
            if error.get("code") == 404:
                raise StreamMissingError(
                    f"cannot read {self._subject}: stream {MOUNTS_STREAM} does not exist; run weft init"
                )
            raise BrokerError(f"cannot read {self._subject}: {error.get('description')}")
        stored = answer.get("message", {})
        try:
            data = base64.b64decode(stored.get("data", ""))
            stamp = Stamp(_nanoseconds(stored["time"]), int(stored["seq"]))
        except (KeyError, ValueError, binascii.Error) as exc:
            raise BrokerError(f"cannot read {self._subject}: the broker's answer makes no sense") from exc
        return Arrived(data, stamp)

    async def _create_stream(self) -> None:
        config = {
            "name": MOUNTS_STREAM,
            "subjects": [MOUNTS_ALL],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
            "max_consumers": 10_000,
            "storage": "file",
            "allow_direct": True,
            "retention": "limits",
            "num_replicas": 1,
        }
        answer = _decoded(
            (await self._link.request(STREAM_CREATE, msgspec.json.encode(config), timeout_s=READ_TIMEOUT_S)).data
        )
        if "error" in answer:
            raise BrokerError(f"cannot create stream {MOUNTS_STREAM}: {answer['error'].get('description')}")
        log.warning("stream.created", stream=MOUNTS_STREAM, why="development setting create_stream")

    # --- hearing --------------------------------------------------------------------------------------------------

    async def _on_live(self, msg: Msg) -> None:
        headers = msg.headers or {}
        stamp = _stamp(headers)
        if headers.get("Nats-Stream") == MOUNTS_STREAM and headers.get("Nats-Subject") == self._subject and stamp:
            await self._deliver(Arrived(msg.data, stamp))
        else:
            self.read_soon()

    async def _on_plain(self, msg: Msg) -> None:
        if self._is_core:
            await self._deliver(Arrived(msg.data, None))
        else:
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


def _stamp(headers: Mapping[str, str]) -> Stamp | None:
    try:
        return Stamp(_nanoseconds(headers["Nats-Time-Stamp"]), int(headers["Nats-Sequence"]))
    except (KeyError, ValueError):
        return None


def _nanoseconds(text: str) -> int:
    """Read the broker's RFC 3339 time, which has up to nine decimals."""
    whole, _, rest = text.partition(".")
    if not rest:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * 10**9
    digits = rest[: next((n for n, char in enumerate(rest) if not char.isdigit()), len(rest))]
    zone = rest[len(digits) :].replace("Z", "+00:00")
    return int(datetime.fromisoformat(whole + zone).timestamp()) * 10**9 + int(digits.ljust(9, "0")[:9])


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        raise BrokerUnreachableError("cannot understand the broker's answer: it is not JSON") from exc
    if not isinstance(answer, dict):
        raise BrokerUnreachableError("cannot understand the broker's answer: it is no object")
    return answer
