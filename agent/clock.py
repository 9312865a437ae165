"""Time as an argument: the clock that shells are given, and the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Alarm(Protocol):
    """Something that will happen later, and can be called off."""

    def cancel(self) -> None:
        """Call it off; twice is the same as once."""
        ...


class Clock(Protocol):
    """What a shell may know about time."""

    def now_s(self) -> float:
        """Return the monotonic time in seconds."""
        ...

    def utc(self) -> datetime:
        """Return the wall clock, in UTC."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Alarm:
        """Have *callback* called after *delay_s*."""
        ...


class LoopClock:
    """The machine's clocks, and alarms on the running loop."""

    def now_s(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def utc(self) -> datetime:
        """Return the wall clock, in UTC."""
        return datetime.now(UTC)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Alarm:
        """Have *callback* called after *delay_s*."""
        return asyncio.get_running_loop().call_later(delay_s, callback)
