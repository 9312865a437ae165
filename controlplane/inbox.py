"""A private reply subject for one operation, where the loss of the broker counts as an answer too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

import nats.aio.subscription
import nats.errors
from nats.aio.msg import Msg

from weft.errors import BrokerUnreachableError
from weft.link import Link, LinkState
from weft.link.connection import translated

SUBSCRIBE_TIMEOUT_S = 5.0
_UNLIMITED = 2**31


class Inbox:
    """
    Answers to one operation; ``async with`` it.

    On entry the subscription has reached the server, so that no answer can be missed. A message is given
    to *receive* at once, in order.

    Args:
        link: Connected.
        receive: Takes each message; must not raise or wait.
        below: ``".>"`` to receive everything below the subject; by default only the subject itself, as a consumer
            needs it: the server does not deliver to a wildcard (2.15).

    Attributes:
        nc: The connection it belongs to; another connection's answers would never come here.
        subject: Where answers are to be sent.
    """

    def __init__(self, link: Link, receive: Callable[[Msg], None], *, below: str = "") -> None:
        self._link = link
        self._receive = receive
        self._below = below
        self._news = asyncio.Event()
        self._lost = False
        self._remove: Callable[[], None] | None = None
        self._subscription: nats.aio.subscription.Subscription | None = None
        self.nc = link.nc
        self.subject = self.nc.new_inbox()

    @property
    def is_lost(self) -> bool:
        """Say whether the broker was lost since; answers may be missing then."""
        return self._lost or self._link.state is not LinkState.CONNECTED or self._link.nc is not self.nc

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next message, or the loss of the broker; False when neither came in time."""
        if self.is_lost:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def __aenter__(self) -> Self:
        self._remove = self._link.on_disconnected(self._note_lost)
        try:
            self._subscription = await self.nc.subscribe(
                self.subject + self._below, cb=self._take, pending_msgs_limit=_UNLIMITED, pending_bytes_limit=_UNLIMITED
            )
            await self._link.flush(SUBSCRIBE_TIMEOUT_S)
        except nats.errors.Error as exc:
            self._remove()
            raise translated(exc, self.subject) from exc
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._remove is not None:
            self._remove()
        if self._subscription is not None and not self.nc.is_closed:
            try:
                await self._subscription.unsubscribe()
            except nats.errors.Error:
                self._subscription = None  # the connection ended meanwhile, and the subscription with it

    async def _take(self, msg: Msg) -> None:
        self._receive(msg)
        self._news.set()

    def _note_lost(self) -> None:
        self._lost = True
        self._news.set()

    def lost_error(self, doing: str) -> BrokerUnreachableError:
        """Build the error for an operation that needed every answer."""
        return BrokerUnreachableError(f"cannot {doing}: the broker was lost ({self._link.problem or 'reconnected'})")
