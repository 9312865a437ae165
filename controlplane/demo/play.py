"""Play the story: one step after the other, timed and told, and clear the stage however it ends."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from controlplane.demo.checks import DemoFailure
from controlplane.demo.stage import Stage
from controlplane.demo.steps import STORY, Seen, Step
from weft.errors import WeftError

STEP_S = 60.0
"""More than a step's own deadlines add up to; nothing may wait for ever."""


@dataclass(frozen=True, slots=True)
class Told:
    """One step that is over: whether it came true, how long it took, and what was seen or, if not, what was wrong."""

    title: str
    is_true: bool
    took_s: float
    seen: Seen


class Audience(Protocol):
    """Whoever watches."""

    def begins(self, title: str) -> None:
        """Hear that a step begins."""
        ...

    def saw(self, told: Told) -> None:
        """Hear that a step is over."""
        ...

    def warned(self, lines: list[str]) -> None:
        """Hear the last words of the agents, after a failure."""
        ...


async def play(audience: Audience) -> None:
    """
    Play the whole story.

    Raises:
        DemoFailure: A step did not come true, or something was left behind; everything else has been cleared.
    """
    stage = Stage()
    try:
        async with stage:
            for step in STORY:
                await _play_step(step, stage, audience)
    except (DemoFailure, asyncio.CancelledError) as exc:
        if left := await stage.leftovers():
            raise DemoFailure(f"{exc or 'interrupted'}; left behind: {', '.join(left)}") from exc
        raise
    await _play_step(Step("nothing is left: no mount, no process, no directory", _expect_nothing), stage, audience)


async def _play_step(step: Step, stage: Stage, audience: Audience) -> None:
    audience.begins(step.title)
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(STEP_S) as deadline:
            seen = await _perform_guarded(step, stage)
    except (WeftError, OSError) as exc:
        reason = f"no end within {STEP_S:g} s" if deadline.expired() else str(exc)
        audience.saw(Told(step.title, False, time.monotonic() - started_s, Seen(reason)))
        audience.warned(stage.last_lines())
        raise DemoFailure(f"cannot finish the demo: {reason}") from exc
    audience.saw(Told(step.title, True, time.monotonic() - started_s, seen))


async def _perform_guarded(step: Step, stage: Stage) -> Seen:
    """Perform *step*, and fail at once when an agent ends that should not: what waits for it would wait in vain."""
    alarm = asyncio.create_task(stage.alarm())
    work = asyncio.create_task(step.perform(stage))

    def stop(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and ended.exception() is not None:
            work.cancel()

    alarm.add_done_callback(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if alarm.done():
            await alarm  # raises what it saw
        raise
    finally:
        alarm.cancel()


async def _expect_nothing(stage: Stage) -> Seen:
    if left := await stage.leftovers():
        raise DemoFailure(f"left behind: {', '.join(left)}")
    return Seen()
