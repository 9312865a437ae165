"""Ctrl-C and its kin, turned into one cancellation: tidying up is not disturbed by a second one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def until_interrupted(work: Coroutine[Any, Any, None]) -> bool:
    """
    Do *work* until it ends or somebody ends it.

    Returns:
        Whether it was interrupted; it has tidied up then.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    interrupted: list[int] = []

    def interrupt(number: int) -> None:
        if not interrupted:
            interrupted.append(number)
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted:
            raise
    return bool(interrupted)
