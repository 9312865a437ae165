"""A subscription that outlives connections: remade on each, with a callback that neither breaks nor is broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import nats.aio.subscription
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from weft.link.connection import CLOSE_TIMEOUT_S
from weft.link.reasons import reason_of

if TYPE_CHECKING:
    from weft.link.link import Link

log = structlog.get_logger("weft.link")

WAITING_MESSAGES = 256
"""What may wait for a slow callback here; beyond that it waits in the library, which bounds it by size and drops."""


class Subscription:
    """
    Interest in a subject, kept by a link until it is taken back.

    The callback runs in a task of this subscription, not of the client: the library cancels its
    own tasks when a connection is lost, which would break a callback off halfway.

    Args:
        link: The owner.
        subject: May hold wildcards.
        callback: Awaited for one message at a time, in order; what it raises is logged.
    """

    def __init__(self, link: Link, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        self.subject = subject
        self._link = link
        self._callback = callback
        self._nc: Client | None = None
        self._current: nats.aio.subscription.Subscription | None = None
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue(WAITING_MESSAGES)
        self._is_wanted = True
        self._worker = asyncio.create_task(self._work(), name=f"weft-link {subject}")

    async def unsubscribe(self) -> None:
        """Take the interest back; messages not yet delivered are dropped. Twice is the same as once."""
        self._link.forget(self)
        self._is_wanted = False
        current, self._current, self._nc = self._current, None, None
        if current is not None:
            try:
                await current.unsubscribe()
            except nats.errors.Error as exc:
                log.debug("subscription.abandoned", subject=self.subject, error=reason_of(exc))
        if self._worker is not asyncio.current_task():
            self._worker.cancel()
            await asyncio.wait({self._worker}, timeout=CLOSE_TIMEOUT_S)

    async def attach(self, nc: Client) -> None:
        """Subscribe on *nc*, unless that was done already."""
        if self._nc is nc:
            return
        self._nc = nc
        self._current = await nc.subscribe(self.subject, cb=self._receive)

    async def _receive(self, msg: Msg) -> None:
        await self._waiting.put(msg)

    async def _work(self) -> None:
        while self._is_wanted:
            msg = await self._waiting.get()
            try:
                await self._callback(msg)
            except Exception as exc:
                log.error("callback.failed", subject=msg.subject, error=f"{type(exc).__name__}: {exc}", exc_info=exc)


def is_subject(subject: str) -> bool:
    """Say whether *subject* can be subscribed to: tokens without spaces, ``>`` only as the last."""
    tokens = subject.split(".")
    return all(tokens) and not any(c.isspace() for c in subject) and ">" not in tokens[:-1]
