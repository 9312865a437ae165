"""A run of chaos: storm after storm, each followed by a rest at which every rule must hold."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.actions import Action, KillClient, StopClient, UnmountBehind, describe
from tests.chaos.judge import GuestSeen, judge_change, judge_guest
from tests.chaos.looking import Watch, look_at, states_of
from tests.chaos.model import CLASSES, World, moved, spread
from tests.chaos.stage import Stage
from tests.chaos.weather import Weather, draw_storm
from weft.wire.codec import decode_message
from weft.wire.mountset import MountSet

REST_S = 60.0
"""Until everything must be as it should be again; the longest waits of the agent add up to less."""

UPLOAD_S = 30.0


class RuleBroken(AssertionError):
    """Something is wrong that must never be; the text says all of it."""


@dataclass(slots=True)
class Tally:
    """How much was done."""

    storms: int = 0
    actions: int = 0
    slowest_rest_s: float = 0.0


class Game:
    """
    One run.

    Args:
        stage: The fleet.
        seed: Of everything that happens.
        say: Told one line for each storm.
    """

    def __init__(self, stage: Stage, seed: int, say: Callable[[str], None] = lambda line: None) -> None:
        self._stage = stage
        self._rng = random.Random(seed)
        self._say = say
        self._world = World(stage.vms, members={name: frozenset(stage.vms) for name in CLASSES})
        self._watch = Watch(stage)
        self._seen: dict[str, GuestSeen] = {}
        self.tally = Tally()

    async def play(self, *, seconds: float, storms: int | None = None) -> None:
        """
        Play until *seconds* are over, or for so many *storms*, then let every upload finish.

        Raises:
            RuleBroken: A rule does not hold.
        """
        ends_s = time.monotonic() + seconds
        try:
            self._seen = await self._look()
            while time.monotonic() < ends_s and (storms is None or self.tally.storms < storms):
                await self._storm()
            await self._finish_uploads()
        except RuleBroken as exc:
            raise RuleBroken("\n".join([str(exc), "--- mounts", *self._watch.history])) from exc
        finally:
            self._watch.end()

    # --- one storm --------------------------------------------------------------------------------------------------

    async def _storm(self) -> None:
        calm = Weather(self._world, self._world, files=len(self._stage.files.all))
        storm = draw_storm(calm, self._rng)
        story = f"storm {self.tally.storms + 1}: {'; '.join(map(describe, storm))}"
        worlds, weather, hurt = [self._world], calm, {vm: set[str]() for vm in self._stage.vms}
        for action in storm:
            weather = weather.after(action)
            self._watch.allow(*worlds, weather.world)
            for vm in self._stage.vms:
                hurt[vm] |= _hurt_by(action, vm) | moved(worlds[-1], weather.world, vm)
            await self._stage.perform(action, worlds[-1])
            worlds.append(weather.world)
        self._world = weather.world
        await self._stage.recover(is_purged=weather.is_purged)
        rest_s = await self._rest(story)
        touched = {vm: spread(hurt[vm], worlds, vm) for vm in self._stage.vms}
        self._judge(story, calm.calm, await self._look(), touched, storm)
        await asyncio.gather(*(self._stage.agents[vm].ask("retry") for vm in self._stage.vms))  # losses count anew
        self.tally.storms += 1
        self.tally.actions += len(storm)
        self.tally.slowest_rest_s = max(self.tally.slowest_rest_s, rest_s)
        self._say(f"{story}  [rest after {rest_s:.1f} s]")

    async def _rest(self, story: str) -> float:
        """Wait until every agent says that all is as operators asked for; return how long that took."""
        began_s = time.monotonic()
        try:
            await asyncio.gather(*(self._guest_rests(vm) for vm in self._stage.vms))
            await self._stage.doomed_ended(deadline_s=REST_S)
        except (AssertionError, TimeoutError) as exc:
            raise RuleBroken(f"{story}\nno rest after {REST_S:g} s\n{exc}") from exc
        return time.monotonic() - began_s

    async def _guest_rests(self, vm: str) -> None:
        revision = await self._stored_revision(vm)
        wanted = {name: state.value for name, state in self._world.standings(vm).items()}
        places = {share.place for share in self._world.mounted(vm).values()}
        await self._stage.agents[vm].until(
            lambda status: (
                (revision is None or status["held_revision"] == revision)
                and states_of(status) == wanted
                and self._stage.is_standing(vm, places)
            ),
            deadline_s=REST_S,
        )

    async def _stored_revision(self, vm: str) -> int | None:
        """Read what is stored for a guest, which must be what operators asked for; None where that is nothing."""
        wanted = {name: f"{self._stage.root(vm)}/{share.place}" for name, share in self._world.wanted(vm).items()}
        data = await self._stage.stored(vm)
        stored = decode_message(data) if data else None
        if stored is None and not wanted:
            return None
        assert isinstance(stored, MountSet), f"{vm}: {data!r} is stored"
        names = {share.id: share.mount_point for share in stored.shares}
        assert names == wanted, f"{vm}: {names} is stored, and operators asked for {wanted}"
        return stored.revision

    async def _look(self) -> dict[str, GuestSeen]:
        vms = self._stage.vms
        seen = await asyncio.gather(*(look_at(self._stage, vm, self._world) for vm in vms))
        return dict(zip(vms, seen, strict=True))

    def _judge(
        self,
        story: str,
        was: World,
        seen: dict[str, GuestSeen],
        touched: dict[str, frozenset[str]],
        storm: list[Action],
    ) -> None:
        wrong = self._watch.take() + list(self._stage.files.find_lost(self._stage.backends, self._stage.directory))
        for vm, guest in seen.items():
            wrong += judge_guest(self._world, vm, guest)
            wrong += judge_change(vm, self._seen[vm], guest, was=was, now=self._world, touched=touched[vm])
        self._seen = seen
        if wrong:
            raise RuleBroken("\n".join([story, *wrong]))

    async def _finish_uploads(self) -> None:
        """See every file stored whose share is still mounted as it was when it was written."""
        try:
            async with asyncio.timeout(UPLOAD_S):
                while unsent := self._unsent():  # noqa: ASYNC110 - the server's directory tells nobody
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RuleBroken(f"not stored after {UPLOAD_S:g} s: {unsent}") from None

    def _unsent(self) -> list[str]:
        return [
            file.name
            for file in self._stage.files.find_unsent(self._stage.backends)
            if (now := self._world.mounted(file.vm).get(file.share.name)) and now.page == file.share.page
        ]


def _hurt_by(action: Action, vm: str) -> set[str]:
    match action:
        case KillClient(at, name) | StopClient(at, name) | UnmountBehind(at, name) if at == vm:
            return {name}
        case _:
            return set()
