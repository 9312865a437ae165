"""The plan against a model of mounting: whatever is wanted, fails and is lost, the same rules hold."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.desired import Desired, Entry, Origin
from agent.reconcile.live import Presence
from agent.reconcile.phase import Fault, Phase, Step, StepKind, begin, build_fault, fail, succeed, suffer
from agent.reconcile.plan import plan
from agent.reconcile.wishes import build_wishes
from tests.fakes.clock import EPOCH
from tests.fakes.engine import FakeEngine
from tests.parts.shares import bind
from weft.errors import ErrorCode, MountError
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId, VmId
from weft.wire.paths import is_at_or_below
from weft.wire.share import ShareMount

PATHS = ["/mnt/a", "/mnt/a/b", "/mnt/a/b/c", "/mnt/d", "/mnt/d/e", "/mnt/f"]
SOURCES = ["/srv/1", "/srv/2", "/mnt/a/s", "/mnt/d/e/s"]
SHARES = st.builds(
    lambda number, path, source, priority, readonly: bind(
        f"s{number}", path, source=source, priority=priority, readonly=readonly
    ),
    st.integers(0, 5),
    st.sampled_from(PATHS),
    st.sampled_from(SOURCES),
    st.integers(0, 1),
    st.booleans(),
)


def desire(shares: Sequence[ShareMount]) -> Desired:
    entries = {share.share_id: Entry.of(share, Origin.SET) for share in shares}
    return Desired(VmId("vm-7"), revision=1, shares=entries, is_complete=True)


def has_no_cycle(shares: Sequence[ShareMount]) -> bool:
    """Cycles are left as they are, in the way of others maybe; they are tested by themselves."""
    return not build_wishes(desire(shares), held=frozenset(), utc=EPOCH).cyclic


LISTS = st.lists(SHARES, max_size=6, unique_by=lambda share: share.id).filter(has_no_cycle)


class World:
    """A guest in which steps end in any order, fail and lose their mounts, as chance has it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.engine = FakeEngine()
        self.phases: dict[ShareId, Phase] = {}
        self.running: list[Step] = []
        self.now_s = 1000.0

    def live_until(self, desired: Desired, *, rounds: int, calm: bool) -> bool:
        """Go on for *rounds*, or until settled; without failures if *calm*. Return whether it settled."""
        for _ in range(rounds):
            made = plan(desired, self.phases, self.engine.observe(), now_s=self.now_s, utc=EPOCH)
            self._check_apart([*self.running, *made.steps])
            for step in made.steps:
                share_id = step.share.share_id
                assert all(other.share.id != share_id for other in self.running), "two steps for one share"
                self.phases[share_id] = begin(self.phases.get(share_id, Phase()), step)
                self.running.append(step)
            if self.running:
                self._finish(self.running.pop(self.chance.randrange(len(self.running))), calm=calm)
            elif made.is_settled:
                return True
            else:
                assert made.wake_at_s is not None, "neither settled nor waiting for anything"
                self.now_s = max(self.now_s, made.wake_at_s)
            if not calm and self.chance.random() < 0.1:
                self._lose_one()
        return False

    def _check_apart(self, steps: Sequence[Step]) -> None:
        works = [step for step in steps if step.kind is not StepKind.CHECK]
        for n, one in enumerate(works):
            for other in works[n + 1 :]:
                for p in one.mount_points:
                    for q in other.mount_points:
                        assert not is_at_or_below(p, q), (one, other)
                        assert not is_at_or_below(q, p), (one, other)

    def _finish(self, step: Step, *, calm: bool) -> None:
        share_id = step.share.share_id
        if not calm and self.chance.random() < 0.3:
            fault = Fault(ErrorCode.UNREACHABLE, "cannot reach it")
            self.phases[share_id] = fail(self.phases[share_id], fault, now_s=self.now_s, jitter=0.5)
            return
        if step.kind is not StepKind.CHECK:
            try:
                self.engine.perform(step.share)
            except MountError as exc:
                raise AssertionError(f"the plan asked for the impossible: {build_fault(exc).message}") from exc
        self.phases[share_id] = succeed(self.phases[share_id], now_s=self.now_s)

    def _lose_one(self) -> None:
        """Have a mount that nothing stands upon vanish."""
        for share_id, mount in list(self.engine.live.items()):
            place = mount.share.mount_point
            is_bare = all(
                other is mount or not is_at_or_below(other.share.mount_point, place)
                for other in self.engine.live.values()
            )
            if is_bare and all(step.share.share_id != share_id for step in self.running):
                self.engine.add(mount.share, Presence.ABSENT)
                fault = Fault(ErrorCode.EXITED, "its client died")
                phase = self.phases.get(share_id, Phase())
                self.phases[share_id] = suffer(phase, fault, now_s=self.now_s, jitter=0.5)
                return


@settings(max_examples=200, deadline=None)
@given(lists=st.lists(LISTS, min_size=1, max_size=4), seed=st.integers(0, 2**32))
@example(  # two shares that stood on a lost one took turns in coming and going, for ever
    lists=[
        [
            bind("s0", "/mnt/a/b", source="/srv/1"),
            bind("s1", "/mnt/a", source="/mnt/d/e/s"),
            bind("s2", "/mnt/d", source="/srv/1"),
        ],
        [bind("s0", "/mnt/f", source="/mnt/d/e/s"), bind("s1", "/mnt/a", source="/mnt/d/e/s")],
    ],
    seed=1173,
)
def test_any_sequence_of_lists_converges_through_legal_steps(lists: list[list[ShareMount]], seed: int) -> None:
    """Steps never overlap or ask for the impossible, and in calm weather exactly the unshadowed shares stand."""
    world = World(seed)
    for shares in lists[:-1]:
        world.live_until(desire(shares), rounds=15, calm=False)
    desired = desire(lists[-1])
    assert world.live_until(desired, rounds=500, calm=True), "it did not settle"
    wishes = build_wishes(desired, held=frozenset(), utc=EPOCH)
    there = {k: m.digest for k, m in world.engine.live.items() if m.presence is not Presence.ABSENT}
    wanted = {share_id: share_digest(entry.share) for share_id, entry in wishes.active.items()}
    assert there == wanted
