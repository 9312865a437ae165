"""The succession of connections: whenever one is lost, another is made, patiently and for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import nats.errors
import structlog
from nats.aio.client import Client

from weft.errors import BrokerDeniedError, BrokerError, ConfigError, WeftError
from weft.link.backoff import reconnect_delay_s
from weft.link.connection import CLOSE_TIMEOUT_S, Connection, dismiss, translated
from weft.link.dial import dial_any
from weft.link.options import LinkOptions

log = structlog.get_logger("weft.link")


class Owner(Protocol):
    """What a keeper tells whom it works for."""

    def note_up(self, connection: Connection) -> None:
        """Take a connection that is ready for use."""

    def note_down(self) -> None:
        """Learn that it was lost."""

    def note_failed(self, exc: WeftError) -> None:
        """Learn why an attempt failed; there will be another."""

    def note_ended(self, exc: BaseException | None = None) -> None:
        """Learn that there will be no other connection: closed by its owner, or because of the defect *exc*."""


class Keeper:
    """
    Makes connections, one after the other.

    Args:
        options: Where the broker is, and who we are.
        jitter: Uniform in [0, 1); spreads attempts.
        prepare: Awaited on each new client before it counts as connected.
        owner: Told of every turn.
    """

    def __init__(
        self,
        options: LinkOptions,
        *,
        jitter: Callable[[], float],
        prepare: Callable[[Client], Awaitable[None]],
        owner: Owner,
    ) -> None:
        self._options = options
        self._jitter = jitter
        self._prepare = prepare
        self._owner = owner
        self._told_servers: dict[str, str | None] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Say whether connections are being kept up."""
        return self._task is not None

    def begin(self, connection: Connection | None = None) -> None:
        """Keep the link up from now on, starting from *connection* if there is one already; it is ours to close."""
        self._task = asyncio.create_task(self._keep(connection), name="weft-link")
        self._task.add_done_callback(self._note_ended)

    async def end(self) -> None:
        """Close the current connection and make no more; bounded in time."""
        task, self._task = self._task, None
        # Twice: asyncio.wait_for, which the library uses everywhere, can lose a cancellation (Python 3.11).
        for _ in range(2):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=CLOSE_TIMEOUT_S + 1)

    async def dial(self, budget_s: float | None) -> Connection:
        """
        Make one connection, ready for use.

        Args:
            budget_s: Seconds for all servers together; None gives each its ``connect_timeout_s``.

        Raises:
            WeftError: ConfigError, BrokerDeniedError or BrokerUnreachableError, as ``dial_any`` does.
        """
        connection = await dial_any(self._options, also=self._told_servers, jitter=self._jitter, budget_s=budget_s)
        try:
            await self._prepare(connection.nc)
            await connection.flush(self._options.connect_timeout_s)
        except (nats.errors.Error, BrokerError) as exc:
            is_lost = not connection.is_alive
            await dismiss(connection.nc)
            raise connection.loss() if is_lost else translated(exc, "subscribing") from exc
        except BaseException:
            await dismiss(connection.nc)
            raise
        return connection

    async def _keep(self, connection: Connection | None) -> None:
        clock = asyncio.get_running_loop().time
        attempt = 0
        try:
            while True:
                if connection is None:
                    connection = await self._dial_until_connected(attempt)
                    self._owner.note_up(connection)
                since_s = clock()
                await connection.lost.wait()
                self._told_servers = connection.told_servers
                self._owner.note_down()
                await dismiss(connection.nc)
                connection = None
                # A broker that accepts us and drops us again at once must not be hammered either.
                attempt = 1 if clock() - since_s >= self._options.reconnect_cap_s else attempt + 1
        finally:
            if connection is not None:
                await dismiss(connection.nc)

    async def _dial_until_connected(self, attempt: int) -> Connection:
        problem = ""
        while True:
            if attempt > 0:
                cap_s = self._options.reconnect_cap_s
                await asyncio.sleep(reconnect_delay_s(attempt, cap_s=cap_s, jitter=self._jitter()))
            try:
                return await self.dial(None)
            except WeftError as exc:
                if str(exc) != problem:
                    problem = str(exc)
                    needs_person = isinstance(exc, (BrokerDeniedError, ConfigError))
                    (log.error if needs_person else log.warning)("stream.unreachable", error=problem)
                self._owner.note_failed(exc)
                attempt += 1

    def _note_ended(self, task: asyncio.Task[None]) -> None:
        # Only a defect ends the loop; a link that silently stopped trying would be worse than a closed one.
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("link.failed", error=f"{type(exc).__name__}: {exc}", exc_info=exc)
            self._owner.note_ended(exc)
