"""Who wants to hear that the broker came or went, and telling them without waiting for them."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

import structlog

Callback = Callable[[], Awaitable[None] | None]
log = structlog.get_logger("weft.link")


class Listeners:
    """
    Callbacks for the two turns a link can take.

    They run one after the other in a task of their own. The next turn cancels what still runs,
    since what it was doing belongs to a connection that is no more.
    """

    def __init__(self) -> None:
        self.on_connected: list[Callback] = []
        self.on_disconnected: list[Callback] = []
        self._telling: asyncio.Task[None] | None = None

    def tell(self, callbacks: list[Callback]) -> None:
        """Begin to call *callbacks*."""
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.create_task(_call_all(tuple(callbacks)), name="weft-link-listeners")

    async def end(self) -> None:
        """Cancel what still runs; a callback may itself be what ends the link."""
        telling, self._telling = self._telling, None
        if telling is None or telling is asyncio.current_task():
            return
        telling.cancel()
        await asyncio.wait({telling})


def registered(callbacks: list[Callback], callback: Callback) -> Callable[[], None]:
    """Add *callback* to *callbacks* and return what removes it; removing twice is the same as once."""
    callbacks.append(callback)

    def remove() -> None:
        if callback in callbacks:
            callbacks.remove(callback)

    return remove


async def _call_all(callbacks: tuple[Callback, ...]) -> None:
    for callback in callbacks:
        try:
            result = callback()
            if inspect.isawaitable(result):
                await result
        except Exception as exc:  # somebody else's code; the others must still hear
            log.error("callback.failed", error=f"{type(exc).__name__}: {exc}", exc_info=exc)
