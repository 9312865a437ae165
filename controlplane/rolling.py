"""The part of the control plane that rolls editions out: look, go on or stop, and again, wherever one left off."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import assert_never

from nats.aio.msg import Msg

from controlplane.commands import Build, Manner
from controlplane.part import Part
from controlplane.projection import project
from controlplane.records import RolloutState, ShareRecord
from controlplane.refresh import find_record
from controlplane.results import FanOut, OnProgress
from controlplane.rollout import Next, pause, resume
from controlplane.rollout_edits import build_spread, build_step, build_undo
from controlplane.rollout_standing import RolloutStanding, build_standing, reached_vms
from controlplane.status import hear_reports, read_heard
from controlplane.survey import read_survey
from weft.errors import CatalogError

LOOK_S = 2.0
"""How often to look when nothing is heard, for the clock of the step and for what nobody could hear."""
CALM_S = 0.2
"""How long to listen before looking: a thousand reports make one look."""

OnStanding = Callable[[RolloutStanding], None]


class Rolling(Part):
    """Asking, driving and ending rollouts."""

    async def rollouts(self) -> list[RolloutStanding]:
        """List every rollout under way; raises as :meth:`rollout`."""
        snapshot = await self._catalog.load()
        under_way = [record.share.id for record in snapshot.shares.values() if record.open_rollout is not None]
        return [await self.rollout(share_id) for share_id in under_way]

    async def rollout(self, share_id: str) -> RolloutStanding:
        """
        Say where the rollout of a share stands.

        Raises:
            UnknownNameError: No such share.
            CatalogError: It is not rolled out in waves.
            BrokerError: The catalog or the reports could not be read.
        """
        snapshot = await self._catalog.load()
        record = find_record(snapshot, share_id)
        rollout = record.rollout
        if rollout is None:
            raise CatalogError(f"cannot find a rollout of share {share_id!r}: everybody got it at once")
        members = await self._publisher.members(snapshot)
        reached = reached_vms(record, members)
        # What was sent is read before what was reported: a report is never compared with an older message.
        last = (await read_survey(self._link, reached)).last
        heard, broker_now_s = await read_heard(self._link, reached)
        projection = project(dataclasses.replace(snapshot, shares={record.share_id: record}, bad={}), members, reached)
        return build_standing(
            record, rollout, members, projection, last, heard, broker_now_s=broker_now_s, now=datetime.now(UTC)
        )

    async def step_rollout(self, share_id: str, *, on_progress: OnProgress | None = None) -> RolloutStanding:
        """
        Look at a rollout once, and do what is due: go on, stop, or nothing.

        Whoever else does the same at the same time, each step is made once.

        Returns:
            Where it stood when it was looked at.

        Raises:
            UnknownNameError, CatalogError, BrokerError: As :meth:`rollout`, and as ``publish``.
        """
        standing = await self.rollout(share_id)
        author = self._author()
        match standing.verdict:
            case Next.WAIT:
                return standing
            case Next.GO_ON:
                problem = ""
            case Next.STOP:
                problem = standing.reason
            case _:
                assert_never(standing.verdict)
        build: Build = partial(build_step, share_id=share_id, author=author, expected=standing.rollout, problem=problem)
        await self._commands.perform(build, author, Manner(on_progress=on_progress))
        return standing

    async def drive_rollout(self, share_id: str, *, on_standing: OnStanding | None = None) -> RolloutStanding:
        """
        Take a rollout from wave to wave, until it is done, stopped or paused.

        It may be left at any time: the catalog holds where it is, and whoever drives it next goes on there.

        Args:
            share_id: The share.
            on_standing: Told where it stands whenever that changes.

        Raises:
            UnknownNameError, CatalogError, BrokerError: As :meth:`step_rollout`.
        """
        heard = asyncio.Event()

        async def hear(_: Msg) -> None:
            heard.set()

        subscription = await hear_reports(self._link, hear)
        shown: RolloutStanding | None = None
        try:
            while True:
                heard.clear()
                standing = await self.step_rollout(share_id)
                if on_standing is not None and standing != shown:
                    on_standing(standing)
                    shown = standing
                if standing.rollout.state is not RolloutState.RUNNING:
                    return standing
                if standing.verdict is Next.WAIT:
                    await _until_heard(heard)
        finally:
            await subscription.unsubscribe()

    async def pause_rollout(self, share_id: str) -> FanOut:
        """
        Let a rollout go no further; nobody loses what they have.

        Raises:
            UnknownNameError: No such share.
            CatalogError: Its rollout is not running.
            BrokerError: As ``publish``.
        """
        return await self._change_rollout(share_id, "rollout.pause", pause)

    async def resume_rollout(self, share_id: str, *, max_failed: int | None = None) -> FanOut:
        """
        Let a paused or stopped rollout go on where it is.

        Args:
            share_id: The share.
            max_failed: How many may fail from now on; as before where None.

        Raises:
            UnknownNameError: No such share.
            CatalogError: None is under way.
            BrokerError: As ``publish``.
        """
        change = partial(resume, at=self._author().at, max_failed=max_failed)
        return await self._change_rollout(share_id, "rollout.resume", change)

    async def undo_rollout(self, share_id: str, *, on_progress: OnProgress | None = None) -> FanOut:
        """
        Give everybody the edition before the rollout; a share that was new ends.

        Raises:
            UnknownNameError: No such share.
            CatalogError: None is under way.
            BrokerError: As ``publish``.
        """
        author = self._author()
        build: Build = partial(build_undo, share_id=share_id, author=author)
        return await self._commands.perform(build, author, Manner(on_progress=on_progress))

    async def _change_rollout(self, share_id: str, action: str, change: Callable[[ShareRecord], ShareRecord]) -> FanOut:
        author = self._author()
        build: Build = partial(build_spread, share_id=share_id, author=author, action=action, change=change)
        return await self._commands.perform(build, author, Manner())


async def _until_heard(heard: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_S):
            await heard.wait()
            await asyncio.sleep(CALM_S)
    except TimeoutError:
        return
