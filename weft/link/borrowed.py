"""A caller's own client under a link: listened to, never rebuilt, never closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from nats.aio.client import Client

from weft.link.connection import Connection
from weft.link.keeper import Owner
from weft.link.user import BrokerUser, user_of_token

log = structlog.get_logger("weft.link")
Hook = Callable[..., Awaitable[None]]


class Borrowed:
    """
    Listens to *nc* through its callbacks, which keep working for the caller.

    The library offers no way to add a callback later, so the private attributes that hold
    them are wrapped and, at the end, put back (nats-py 2.16).

    Args:
        nc: The caller's client; reconnecting is its own business.
        owner: Told of every turn.
    """

    def __init__(self, nc: Client, *, owner: Owner) -> None:
        self._nc = nc
        self._owner = owner
        self._is_listening = True
        self._wrapped: dict[str, tuple[Hook, Hook | None]] = {}
        self.connection = self._fresh_connection()
        self._wrap("_error_cb", self._note_error)
        self._wrap("_disconnected_cb", self._note_down)
        self._wrap("_reconnected_cb", self._note_up)
        self._wrap("_closed_cb", self._note_end)

    def give_back(self) -> None:
        """Stop listening, and leave the caller's callbacks as they were found."""
        self._is_listening = False
        for name, (ours, theirs) in self._wrapped.items():
            # Wrapped again by somebody else meanwhile: ours stays below it and only passes on.
            if getattr(self._nc, name) is ours:
                setattr(self._nc, name, theirs)

    def _wrap(self, name: str, note: Hook) -> None:
        theirs: Hook | None = getattr(self._nc, name, None)

        async def ours(*args: Any) -> None:
            if self._is_listening:
                await note(*args)
            if theirs is not None:
                try:
                    await theirs(*args)
                except Exception as exc:  # would end the client's read loop
                    log.error("callback.failed", error=f"{type(exc).__name__}: {exc}", exc_info=exc)

        self._wrapped[name] = (ours, theirs)
        setattr(self._nc, name, ours)

    def _fresh_connection(self) -> Connection:
        prefix = getattr(self._nc, "_inbox_prefix", b"_INBOX")
        return Connection(self._nc, inbox_prefix=bytes(prefix).decode(), user=self._user())

    def _user(self) -> BrokerUser | None:
        say_token = getattr(self._nc, "_user_jwt_cb", None)
        try:
            return user_of_token(bytes(say_token()).decode()) if say_token is not None else None
        except (OSError, ValueError):
            return None  # the file that the client read when it connected is gone, or another one by now

    async def _note_error(self, exc: Exception) -> None:
        await self.connection.note_error(exc)

    async def _note_down(self) -> None:
        self.connection.mark_lost()
        self._owner.note_down()

    async def _note_up(self) -> None:
        self.connection = self._fresh_connection()
        self._owner.note_up(self.connection)

    async def _note_end(self) -> None:
        self.connection.mark_lost()
        self._owner.note_ended()
