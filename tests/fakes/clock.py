"""A clock that stands still until a test moves it, and one that is in a hurry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class FakeAlarm:
    """An alarm set on a :class:`FakeClock`."""

    def __init__(self, due_s: float, callback: Callable[[], None]) -> None:
        self.due_s = due_s
        self.callback = callback
        self.is_off = False

    def cancel(self) -> None:
        """Call it off."""
        self.is_off = True


class FakeClock:
    """Monotonic and wall time that advance together, by :meth:`advance` only."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._alarms: list[FakeAlarm] = []

    def now_s(self) -> float:
        """Return the monotonic time."""
        return self._now_s

    def utc(self) -> datetime:
        """Return the wall clock."""
        return EPOCH + timedelta(seconds=self._now_s - 1000.0)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> FakeAlarm:
        """Set an alarm."""
        alarm = FakeAlarm(self._now_s + delay_s, callback)
        self._alarms.append(alarm)
        return alarm

    def next_alarm_s(self) -> float | None:
        """Return the seconds until the next alarm, None without any."""
        due = [alarm.due_s for alarm in self._alarms if not alarm.is_off]
        return min(due) - self._now_s if due else None

    def advance(self, seconds: float) -> None:
        """Let time pass, ringing what falls due."""
        self._now_s += seconds
        due = [alarm for alarm in self._alarms if not alarm.is_off and alarm.due_s <= self._now_s]
        for alarm in due:
            alarm.is_off = True
            alarm.callback()
        self._alarms = [alarm for alarm in self._alarms if not alarm.is_off]


class HastyClock:
    """
    Real time, faster: delays of retries pass in a fraction.

    Args:
        factor: How many of its seconds pass in one.
    """

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def now_s(self) -> float:
        """Return the monotonic time."""
        return time.monotonic() * self._factor

    def utc(self) -> datetime:
        """Return the wall clock, which is the machine's."""
        return datetime.now(UTC)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """Set an alarm."""
        return asyncio.get_running_loop().call_later(delay_s / self._factor, callback)
