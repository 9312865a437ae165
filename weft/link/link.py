"""The link: one lasting relation to the broker over a succession of connections."""

from __future__ import annotations

import asyncio
import enum
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from weft.errors import BrokerError, BrokerUnreachableError, WeftError
from weft.link.borrowed import Borrowed
from weft.link.connection import Connection, dismiss, translated
from weft.link.keeper import Keeper
from weft.link.listeners import Callback, Listeners, registered
from weft.link.options import LinkOptions, without_login
from weft.link.reasons import reason_of
from weft.link.subscription import Subscription, is_subject
from weft.link.user import BrokerUser

log = structlog.get_logger("weft.link")

FLUSH_TIMEOUT_S = 5.0


class LinkState(enum.StrEnum):
    """Where a link stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CLOSED = "closed"


class Link:
    """
    The broker, as far as weft is concerned; connections come and go below it.

    Each connection has a client of its own, so ``nc`` and ``js`` are to be asked for when
    needed, not kept. Subscriptions made here are remade on every connection.

    Args:
        options: Where the broker is, and who we are.
        jitter: Uniform in [0, 1); spreads reconnects.
    """

    def __init__(self, options: LinkOptions, *, jitter: Callable[[], float] = random.random) -> None:
        self._options = options
        self._keeper = Keeper(options, jitter=jitter, prepare=self._resubscribe, owner=self)
        self._state = LinkState.CONNECTING
        self._connection: Connection | None = None
        self._subscribed: Client | None = None
        self._error: WeftError | None = None
        self._borrowed: Borrowed | None = None
        self._subscriptions: list[Subscription] = []
        self._listeners = Listeners()
        self._settled = asyncio.Event()

    @classmethod
    def over(cls, nc: Client) -> Self:
        """
        Wrap a caller's own client: it is never rebuilt and never closed.

        Its reconnects are noticed through its callbacks, which keep working for the caller.

        Args:
            nc: A client that is connected, or that was and reconnects by itself.
        """
        link = cls(LinkOptions())
        link._borrowed = Borrowed(nc, owner=link)
        link._subscribed = nc
        if nc.is_connected:
            link._stand(LinkState.CONNECTED, link._borrowed.connection)
        return link

    # --- coming and going -----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """
        Connect once, within ``connect_timeout_s``, and keep the link up from then on.

        Raises:
            ConfigError: A credentials or TLS file cannot be used.
            BrokerDeniedError: The broker refuses these credentials.
            BrokerUnreachableError: No server answered in time.
        """
        if self._keeper.is_running or self._borrowed is not None:
            self.start()
            await self.wait_connected(self._options.connect_timeout_s)
            return
        self._refuse_if_closed()
        try:
            connection = await self._keeper.dial(self._options.connect_timeout_s)
        except WeftError as exc:
            self._error = exc
            raise
        if self._state is LinkState.CLOSED:
            await dismiss(connection.nc)
            self._refuse_if_closed()
        self.note_up(connection)
        self._keeper.begin(connection)

    def start(self) -> None:
        """Connect in the background, for as long as it takes, and keep the link up; an absent broker is no error."""
        self._refuse_if_closed()
        if self._borrowed is not None:
            if self.state is LinkState.CONNECTED:
                self._listeners.tell(self._listeners.on_connected)
        elif not self._keeper.is_running:
            self._keeper.begin()

    async def close(self) -> None:
        """End the link in bounded time; twice is the same as once. A wrapped client stays open."""
        borrowed, self._borrowed = self._borrowed, None
        self._stand(LinkState.CLOSED, None)
        if borrowed is not None:
            borrowed.give_back()
        await self._listeners.end()
        for subscription in tuple(self._subscriptions):
            await subscription.unsubscribe()
        await self._keeper.end()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def state(self) -> LinkState:
        """Say where the link stands; a loss shows here at once."""
        if self._state is LinkState.CONNECTED and not (self._connection and self._connection.is_alive):
            return LinkState.DISCONNECTED
        return self._state

    @property
    def problem(self) -> str | None:
        """Return the last reason for not being connected, without secrets; None while connected."""
        if self.state is LinkState.CONNECTED:
            return None
        if self._state is LinkState.CONNECTED and self._connection is not None:
            return str(self._connection.loss())
        return str(self._error) if self._error else None

    @property
    def has_jetstream(self) -> bool:
        """Say whether the connected server has JetStream; False while there is none."""
        return bool(self._connection and self._connection.info.get("jetstream"))

    @property
    def max_payload(self) -> int:
        """Return the most bytes one message may have on the connected server; 1 MiB while there is none."""
        return int(self._connection.nc.max_payload) if self._connection else 1024 * 1024

    @property
    def server_version(self) -> str:
        """Return the connected server's version, ``""`` while there is none."""
        return str(self._connection.info.get("version", "")) if self._connection else ""

    @property
    def user(self) -> BrokerUser | None:
        """Return who we are on this connection; None while there is none, and where nothing says it."""
        return self._connection.user if self._connection else None

    @property
    def denied_subjects(self) -> frozenset[str]:
        """Return the subjects, publishing and subscribing, that the broker denied on this connection."""
        return self._connection.denied if self._connection else frozenset()

    @property
    def nc(self) -> Client:
        """Return the current connection's client; ask again after a reconnect."""
        return self._required("use the broker").nc

    @property
    def js(self) -> JetStreamContext:
        """Return JetStream over the current connection."""
        return self.nc.jetstream()

    async def wait_connected(self, timeout_s: float) -> None:
        """
        Wait until the link is connected.

        Raises:
            WeftError: It is not after *timeout_s*, or closed: the last attempt's own error where there is one.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.state is not LinkState.CONNECTED:
                    self._refuse_if_closed()
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError as exc:
            raise self._error or BrokerUnreachableError(f"cannot reach the broker within {timeout_s:g} s") from exc

    def on_connected(self, callback: Callback) -> Callable[[], None]:
        """
        Have *callback* called after every connect and reconnect; returns what removes it.

        The server may be another one, with other abilities. A callback that still runs when the
        connection is lost is cancelled; it is called again on the next.
        """
        return registered(self._listeners.on_connected, callback)

    def on_disconnected(self, callback: Callback) -> Callable[[], None]:
        """Have *callback* called after every loss of the broker; returns what removes it."""
        return registered(self._listeners.on_disconnected, callback)

    # --- messages -------------------------------------------------------------------------------------------------

    async def subscribe(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """
        Subscribe now or, while not connected, as soon as there is a connection, and on every later one.

        *callback* is awaited for one message at a time, and not broken off when the connection is lost
        meanwhile; what it raises is logged and harms nothing.
        """
        self._refuse_if_closed()
        if not is_subject(subject):
            raise BrokerError(f"cannot subscribe to {subject!r}: it is not a subject")
        subscription = Subscription(self, subject, callback)
        self._subscriptions.append(subscription)
        if self._subscribed is not None and not self._subscribed.is_closed:
            try:
                await subscription.attach(self._subscribed)
            except nats.errors.Error as exc:
                log.debug("subscription.postponed", subject=subject, error=reason_of(exc))
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Stop remaking *subscription* (called by its ``unsubscribe``)."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """
        Hand a message to the broker, or fail at once: nothing is kept for later.

        Raises:
            BrokerUnreachableError: There is no connection.
            PayloadTooLargeError: The broker would refuse the message.
        """
        nc = self._required(f"publish on {subject!r}").nc
        try:
            await nc.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)
        except nats.errors.Error as exc:
            raise translated(exc, subject) from exc

    async def request(
        self, subject: str, data: bytes = b"", *, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """
        Ask on *subject* and return the answer.

        Raises:
            NoRespondersError: Nobody listens there.
            BrokerDeniedError: The broker denies the subject, or the inbox for the answer.
            BrokerUnreachableError: No answer within *timeout_s*, or the broker was lost; whether the
                request arrived is unknown.
        """
        connection = self._required(f"ask on {subject!r}")
        return await connection.request(subject, data, timeout_s=timeout_s, headers=dict(headers) if headers else None)

    async def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """
        Wait until the broker has processed everything sent so far.

        Raises:
            BrokerUnreachableError: It did not say so within *timeout_s*.
        """
        await self._required("flush").flush(timeout_s)

    # --- what keeper and borrowed client tell -----------------------------------------------------------------------

    def note_up(self, connection: Connection) -> None:
        """Take a connection that is ready for use."""
        self._stand(LinkState.CONNECTED, connection)
        url = connection.nc.connected_url
        log.info("stream.connected", server=without_login(url.geturl()) if url else "", version=self.server_version)
        self._listeners.tell(self._listeners.on_connected)

    def note_down(self) -> None:
        """Learn that the connection was lost."""
        self._error = self._connection.loss() if self._connection else None
        self._stand(LinkState.DISCONNECTED, None)
        log.warning("stream.disconnected", error=str(self._error))
        self._listeners.tell(self._listeners.on_disconnected)

    def note_failed(self, exc: WeftError) -> None:
        """Learn why an attempt failed."""
        self._error = exc

    def note_ended(self, exc: BaseException | None = None) -> None:
        """Learn that there will be no other connection."""
        why = f"a defect ended the link ({type(exc).__name__})" if exc else "its owner closed the connection"
        self._error = BrokerUnreachableError(f"cannot use the broker: {why}")
        self._stand(LinkState.CLOSED, self._connection)

    def _stand(self, state: LinkState, connection: Connection | None) -> None:
        self._state, self._connection = state, connection
        self._settled.set()

    async def _resubscribe(self, nc: Client) -> None:
        # From here on nc is where new subscriptions go too, or one made meanwhile would miss this connection.
        self._subscribed = nc
        for subscription in list(self._subscriptions):
            await subscription.attach(nc)

    def _required(self, verb: str) -> Connection:
        self._refuse_if_closed()
        if self._connection is None or not self._connection.is_alive:
            raise BrokerUnreachableError(f"cannot {verb}: not connected to the broker")
        return self._connection

    def _refuse_if_closed(self) -> None:
        if self._state is LinkState.CLOSED:
            raise BrokerUnreachableError("cannot use the broker: the link is closed")
