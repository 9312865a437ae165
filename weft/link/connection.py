"""One connection to one server, from its INFO to its loss: never reused, and never silent about either."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from weft.errors import BrokerDeniedError, BrokerError, BrokerUnreachableError, NoRespondersError, PayloadTooLargeError
from weft.link.reasons import is_refusal, reason_of
from weft.link.user import BrokerUser

T = TypeVar("T")
log = structlog.get_logger("weft.link")

CLOSE_TIMEOUT_S = 2.0
"""Enough to flush what is queued; a peer that no longer reads is not worth more."""

_ERR_LINE = re.compile(rb"-ERR\s+'([^\r\n]*)'")
_VIOLATION = re.compile(r'permissions violation for (?P<act>\w+)[^"]*"(?P<subject>[^"]+)"', re.IGNORECASE)


class Connection:
    """
    A connected client of the library, and what became known about it since.

    Args:
        nc: The client; this object is told by its callbacks.
        inbox_prefix: Where answers to this client arrive.
        tls_name: The name that the server's certificate has to carry.
        user: Who we are to the server, as far as it is known.
    """

    def __init__(
        self, nc: Client, *, inbox_prefix: str, tls_name: str | None = None, user: BrokerUser | None = None
    ) -> None:
        self.nc = nc
        self.user = user
        self._tls_name = tls_name
        self.lost = asyncio.Event()
        self.lost_because = ""
        self.last_error: Exception | None = None
        self.denied: frozenset[str] = frozenset()
        self._inbox_prefix = inbox_prefix
        self._watchers: dict[asyncio.Future[BrokerError], str] = {}

    @property
    def info(self) -> dict[str, Any]:
        """Return the INFO that the server sent at the start; the library has no public name for it."""
        info: dict[str, Any] = getattr(self.nc, "_server_info", {})
        return info

    @property
    def is_alive(self) -> bool:
        """Say whether the connection is up as far as anybody knows."""
        return not self.lost.is_set() and self.nc.is_connected

    @property
    def told_servers(self) -> dict[str, str | None]:
        """Return the cluster's other servers by URL, with the name for their certificate where it is not in there."""
        return {
            told.geturl(): self._tls_name if self.info.get("tls_required") and _is_address(told.hostname) else None
            for told in self.nc.discovered_servers
        }

    def watch_reading(self) -> None:
        """
        Notice the end of the client's read loop at once.

        A read loop that died of an exception leaves ``is_connected`` true; without this only
        three unanswered pings would tell.
        """
        reading: asyncio.Task[None] | None = getattr(self.nc, "_reading_task", None)
        if reading is not None:
            reading.add_done_callback(lambda _: self.mark_lost())

    async def note_error(self, exc: Exception) -> None:
        """Take the library's error callback: remember, and never raise, since that would end the read loop."""
        self.last_error = exc
        if violation := _VIOLATION.search(_original_text(self.nc, exc)):
            self._note_denied(violation["subject"], violation["act"].lower())

    async def note_closed(self) -> None:
        """Take the library's closed callback."""
        self.mark_lost()

    def mark_lost(self) -> None:
        """Declare the connection over; everybody who waits on it learns so now. Twice is the same as once."""
        if self.lost.is_set():
            return
        self.lost_because = reason_of(cause) if (cause := self._cause()) else "the connection ended"
        self.lost.set()
        for watcher, subject in self._watchers.items():
            if not watcher.done():
                text = f"cannot know the outcome on {subject!r}: the broker was lost ({self.lost_because})"
                watcher.set_result(BrokerUnreachableError(text))

    def loss(self) -> BrokerError:
        """Say why the connection ended, as an error: thrown out by the broker, or lost."""
        if (cause := self._cause()) and is_refusal(cause):
            return BrokerDeniedError(f"the broker no longer accepts these credentials ({reason_of(cause)})")
        return BrokerUnreachableError(f"the broker was lost: {self.lost_because or 'the connection ended'}")

    async def request(self, subject: str, data: bytes, *, timeout_s: float, headers: dict[str, str] | None) -> Msg:
        """Ask on *subject*; a denied subject or a lost broker ends the wait early."""
        asked = self.nc.request(subject, data, timeout=timeout_s, headers=headers)
        try:
            return await self.unless_lost(asked, subject)
        except nats.errors.TimeoutError as exc:
            raise self.silence_on(subject, timeout_s) from exc

    async def flush(self, timeout_s: float) -> None:
        """Wait until the server has answered everything sent so far, or raise BrokerUnreachableError."""
        try:
            # The library's annotation says int; the value only goes to asyncio.wait_for.
            await self.unless_lost(self.nc.flush(timeout=timeout_s), "flush")  # type: ignore[arg-type]
        except nats.errors.TimeoutError as exc:
            raise BrokerUnreachableError(f"cannot flush: the broker did not answer within {timeout_s:g} s") from exc

    def silence_on(self, subject: str, timeout_s: float) -> BrokerError:
        """Explain why nobody answered on *subject* within *timeout_s*."""
        if subject in self.denied:
            return _denied(subject)
        if inbox := next((s for s in self.denied if s.startswith(f"{self._inbox_prefix}.")), None):
            return BrokerDeniedError(
                f"cannot receive the answer on {subject!r}: the broker denies subscribing to {inbox!r} "
                "(is the inbox prefix the one these credentials allow?)"
            )
        return BrokerUnreachableError(f"cannot get an answer on {subject!r} within {timeout_s:g} s")

    async def unless_lost(self, work: Coroutine[Any, Any, T], subject: str) -> T:
        """
        Await *work* of the library, but not beyond the loss of the connection or the denial of *subject*.

        Raises:
            BrokerError: As the library's own exceptions translate, or what ended the wait.
        """
        watcher: asyncio.Future[BrokerError] = asyncio.get_running_loop().create_future()
        self._watchers[watcher] = subject
        task = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {task, watcher}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise watcher.result()
            return task.result()
        except nats.errors.Error as exc:
            if isinstance(exc, nats.errors.TimeoutError):
                raise
            raise translated(exc, subject) from exc
        finally:
            del self._watchers[watcher]
            watcher.cancel()
            task.cancel()

    def _cause(self) -> Exception | None:
        # A denied subject is remembered as an error too, and ends no connection.
        errors = (self.nc.last_error, self.last_error)
        return next((exc for exc in errors if exc is not None and not _VIOLATION.search(str(exc))), None)

    def _note_denied(self, subject: str, act: str) -> None:
        if subject not in self.denied:
            self.denied |= {subject}
            log.warning("permission.denied", subject=subject, error=f"the broker denies this {act}")
        for watcher, watched in self._watchers.items():
            if watched == subject and not watcher.done():
                watcher.set_result(_denied(subject))


def translated(exc: nats.errors.Error | BrokerError, subject: str) -> BrokerError:
    """Turn an exception of the library about *subject* into one of weft's; weft's own pass."""
    match exc:
        case BrokerError():
            return exc
        case nats.errors.NoRespondersError():
            return NoRespondersError(f"cannot get an answer on {subject!r}: nobody listens there")
        case nats.errors.MaxPayloadError():
            return PayloadTooLargeError(f"cannot send on {subject!r}: the message exceeds the broker's max_payload")
        case nats.errors.BadSubjectError():
            return BrokerError(f"cannot use {subject!r} as a subject")
        case _:
            return BrokerUnreachableError(f"cannot reach the broker for {subject!r}: {reason_of(exc)}")


async def dismiss(nc: Client, *, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
    """Close *nc* in bounded time, whatever state it is in; what it still complains about no longer matters."""
    try:
        async with asyncio.timeout(timeout_s):
            await nc.close()
    except Exception as exc:  # noqa: BLE001  # an abandoned client must not take the link with it
        log.debug("connection.abandoned", error=reason_of(exc))


def _denied(subject: str) -> BrokerDeniedError:
    return BrokerDeniedError(f"cannot use {subject!r}: the broker denies it to these credentials")


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _original_text(nc: Client, exc: Exception) -> str:
    # The library lower-cases the server's text, and subjects have case; the line itself is
    # still at the front of the parser's buffer while the error callback runs (nats-py 2.16).
    buffer = getattr(getattr(nc, "_ps", None), "buf", b"")
    line = _ERR_LINE.match(buffer)
    if line is not None and line[1].decode(errors="replace").lower() in str(exc).lower():
        return line[1].decode(errors="replace")
    return str(exc)
