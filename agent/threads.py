"""Threads for calls that may take long, such as asking a name server that is away: none waits its turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnThreads(ThreadPoolExecutor):
    """
    Gives every call a thread of its own, which nobody waits for at the end.

    The event loop's own pool has six threads on two cores. With the name servers away, as many lookups keep them for
    half a minute; writing the ledger, and so every message, would stand in line behind them, and so would the end of
    the process. How many lookups there are at once is bounded by the shares and their backoff.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin *fn* at once."""
        future: Future[T] = Future()
        Thread(target=_work, args=(future, lambda: fn(*args, **kwargs)), name="weft-call", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for nobody: what a call is in the middle of can be interrupted, or the file it writes is never seen."""
        super().shutdown(wait=False, cancel_futures=cancel_futures)


def _work(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as exc:  # noqa: BLE001  # it belongs to whoever awaits the future
        future.set_exception(exc)
    else:
        future.set_result(result)
