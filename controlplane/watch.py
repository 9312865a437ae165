"""``weft sync --watch``: keeps lists, rollouts and expired shares as catalog and rosters say, for ever."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from controlplane.catalog import EVERYTHING
from controlplane.expiry import KEPT_S
from controlplane.following import follow_messages
from controlplane.records import RolloutState
from controlplane.results import FanOut
from controlplane.rollout import Next
from weft.errors import CatalogConflictError, ConfirmationNeededError, WeftError
from weft.wire.subjects import CATALOG_STREAM

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

HEARD_AGAIN_S = 5.0
"""How far back listening begins, so that nothing is missed while it starts."""
INTERVAL_S = 60.0
"""How often rosters kept elsewhere are asked, and everything is compared, when nothing is heard."""
RETRY_S = 5.0
"""How soon to try again what failed."""
ROLLOUT_S = 1.0
"""How often to look at running rollouts."""
CALM_S = 1.0
"""How long to let an operator's own command finish its fan-out before comparing."""
REST_PER_WORK = 4.0
"""A pass over ten thousand VMs takes a second or two; it must not take all of them."""


class NewsKind(enum.StrEnum):
    """What a watch tells: what it did, what it will not do, what keeps it from working, that this is over."""

    REPAIRED = "repaired"
    DROPPED = "dropped"
    ROLLOUT = "rollout"
    HELD = "held"
    FAILED = "failed"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class News:
    """One line for the operator."""

    kind: NewsKind
    text: str


OnNews = Callable[[News], None]


class Watch:
    """
    Watches one catalog; several may do so at once, each step is made once.

    A change that would take shares from many VMs is not made: the watch reports it and holds everything back until
    the reason is gone, or an operator has said yes with ``weft sync --yes``.

    Args:
        plane: Connected.
        interval_s: How often to compare when nothing is heard.
        kept_s: How long expired shares stay in the catalog.
        on_news: Told what an operator should know, once.
    """

    def __init__(
        self, plane: ControlPlane, *, on_news: OnNews, interval_s: float = INTERVAL_S, kept_s: float = KEPT_S
    ) -> None:
        self._plane = plane
        self._on_news = on_news
        self._interval_s = interval_s
        self._kept_s = kept_s
        self._changed = asyncio.Event()
        self._trouble: News | None = None
        self._is_rolling = False
        self._told: dict[str, str] = {}

    async def run(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Watch until cancelled; *on_ready* is called once it has begun."""
        remove = self._plane.link.on_connected(self._changed.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                on_ready()
                await self._keep()
        finally:
            remove()

    async def _listen(self) -> None:
        """Hear what is stored in the catalog, after a lost broker too."""
        link = self._plane.link
        while True:
            with contextlib.suppress(WeftError):  # comparing meets the same, and tells it
                async for _ in follow_messages(
                    link, CATALOG_STREAM, EVERYTHING, since_s=HEARD_AGAIN_S, is_endless=True
                ):
                    self._changed.set()
            await asyncio.sleep(RETRY_S)

    async def _keep(self) -> None:
        now_s = asyncio.get_running_loop().time
        is_fine, compare_at_s = False, now_s()
        while True:
            began_s = now_s()
            if self._changed.is_set() or began_s >= compare_at_s:
                self._changed.clear()
                is_fine = await self._tried(self._compare)
                compare_at_s = began_s + await self._pause_s()
            if is_fine:
                is_fine = await self._tried(self._roll)
            rest_s = max(CALM_S, REST_PER_WORK * (now_s() - began_s))
            wait_s = compare_at_s - now_s()
            await self._until_changed(min(wait_s, ROLLOUT_S) if is_fine and self._is_rolling else wait_s)
            await asyncio.sleep(rest_s)

    async def _compare(self) -> None:
        dropped = await self._plane.drop_expired(kept_s=self._kept_s)
        if dropped is not None and dropped.share_ids:
            self._tell(NewsKind.DROPPED, f"expired: {', '.join(dropped.share_ids)}")
        fan_out = await self._plane.sync(kept_s=self._kept_s)
        if fan_out.stored:
            self._tell(NewsKind.REPAIRED, f"brought {_counted(len(fan_out.stored))} up to date")
        if problem := _problem_of(fan_out):
            self._tell_trouble(NewsKind.FAILED, problem)
        else:
            self._tell_over()

    async def _roll(self) -> None:
        standings = {standing.share_id: standing for standing in await self._plane.rollouts()}
        running = [item.share_id for item in standings.values() if item.rollout.state is RolloutState.RUNNING]
        for share_id in running:
            standings[share_id] = await self._plane.step_rollout(share_id)
        for share_id in running:
            if standings[share_id].verdict is not Next.WAIT:
                # It has moved: what it looks like now is told, and an end is seen that is no rollout under way.
                standings[share_id] = await self._plane.rollout(share_id)
        for share_id, standing in standings.items():
            if standing.outline != self._told.get(share_id):
                self._tell(NewsKind.ROLLOUT, f"{share_id}: {standing.outline}")
        self._told = {share_id: standing.outline for share_id, standing in standings.items()}
        self._is_rolling = any(item.rollout.state is RolloutState.RUNNING for item in standings.values())

    async def _tried(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do *work*; False, and told once, where it could not be done."""
        try:
            await work()
        except ConfirmationNeededError as exc:
            self._tell_trouble(NewsKind.HELD, f"holding everything back: {exc}")
        except CatalogConflictError:
            self._changed.set()  # somebody changes the catalog at this moment; look at what they made of it
        except WeftError as exc:
            self._tell_trouble(NewsKind.FAILED, str(exc))
        else:
            return True
        return False

    async def _pause_s(self) -> float:
        """Say how long nothing needs comparing if nothing is heard."""
        if self._trouble is not None and self._trouble.kind is NewsKind.FAILED:
            return min(RETRY_S, self._interval_s)
        try:
            due = await self._plane.next_drop(kept_s=self._kept_s)
        except WeftError:
            return min(RETRY_S, self._interval_s)
        left_s = self._interval_s if due is None else (due - datetime.now(UTC)).total_seconds()
        return min(self._interval_s, max(0.0, left_s))

    async def _until_changed(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _tell(self, kind: NewsKind, text: str) -> None:
        self._on_news(News(kind, text))

    def _tell_trouble(self, kind: NewsKind, text: str) -> None:
        news = News(kind, text)
        if news != self._trouble:
            self._trouble = news
            self._on_news(news)

    def _tell_over(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            self._tell(NewsKind.RESUMED, "everything is as it should be again")


def _problem_of(fan_out: FanOut) -> str:
    """Say in a line which VMs could not be brought up to date."""
    problems = {**fan_out.failed, **fan_out.unknown}
    if not problems:
        return ""
    vm, why = min(problems.items())
    more = f" (and {_counted(len(problems) - 1)} more)" if len(problems) > 1 else ""
    return f"cannot bring {vm} up to date: {why}{more}"


def _counted(vms: int) -> str:
    return f"{vms} VM" if vms == 1 else f"{vms} VMs"
