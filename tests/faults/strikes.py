"""A fault that strikes at the N-th call which changes or asks something outside the agent's own memory."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from agent.actual import LiveMount, LiveStore
from agent.drivers.base import MountCommand, MountContext
from agent.mounts.walker import Walker
from tests.parts.engine_rig import SlateDriver
from weft.wire.ids import ShareId

T = TypeVar("T")


class Strike:
    """
    Counts calls, and strikes once.

    Args:
        at: The number of the call it strikes at, from 1; 0 for never.
        hit: What happens then; what it raises is raised by the call.
        is_late: Whether it strikes when the call has done its work, so that only the answer is lost.
    """

    def __init__(self, at: int, hit: Callable[[], object], *, is_late: bool) -> None:
        self._at = at
        self._hit = hit
        self._is_late = is_late
        self._count = 0
        self.struck: str | None = None
        """The call that was hit."""

    def count(self, name: str) -> bool:
        """Count a call; say whether it is the one."""
        self._count += 1
        if self._count != self._at:
            return False
        self.struck = f"{name} ({self._count})"
        return True

    def call(self, name: str, do: Callable[[], T]) -> T:
        """Make a call, unless it is hit."""
        is_hit = self.count(name)
        if is_hit and not self._is_late:
            self._hit()
        result = do()
        if is_hit:
            self._hit()
        return result

    async def ask(self, name: str, do: Callable[[], Awaitable[T]]) -> T:
        """Make a call that takes time, unless it is hit."""
        is_hit = self.count(name)
        if is_hit and not self._is_late:
            self._hit()
        result = await do()
        if is_hit:
            self._hit()
        return result


class StruckWalker:
    """A walker of which each call may be hit."""

    def __init__(self, walker: Walker, strike: Strike) -> None:
        self._walker = walker
        self._strike = strike

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(self._walker, name)

        async def struck(*arguments: Any, **named: Any) -> Any:
            return await self._strike.ask(name, functools.partial(call, *arguments, **named))

        return struck

    @classmethod
    def around(cls, walker: Walker, strike: Strike) -> Walker:
        """Make one that passes for *walker*."""
        return cast(Walker, cls(walker, strike))


class StruckDriver(SlateDriver):
    """A driver of which each check may be hit; a start that is hit is one whose client ends at once."""

    def __init__(self, strike: Strike, *, is_fatal: bool) -> None:
        super().__init__()
        self._strike = strike
        self._is_fatal = is_fatal

    def build(self, context: MountContext) -> MountCommand:
        """Build a command."""
        command = super().build(context)
        if self._is_fatal:
            return self._strike.call("build", lambda: command)
        return replace(command, argv=("/bin/false",)) if self._strike.count("start") else command

    async def check(self, context: MountContext, *, deadline_s: float) -> None:
        """Find nothing wrong."""
        await self._strike.ask("check", lambda: super(StruckDriver, self).check(context, deadline_s=deadline_s))


class StruckLive:
    """A record of live mounts of which each change may be hit."""

    def __init__(self, live: LiveStore, strike: Strike) -> None:
        self._live = live
        self._strike = strike
        self.live = live.live
        self.find_live = live.find_live

    def record_live(self, mount: LiveMount) -> None:
        """Remember a mount."""
        self._strike.call(f"record {mount.stage}", lambda: self._live.record_live(mount))

    def forget_live(self, share_id: ShareId) -> None:
        """Forget a mount."""
        self._strike.call("forget", lambda: self._live.forget_live(share_id))
