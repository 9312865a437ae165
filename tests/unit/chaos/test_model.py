"""The model that chaos is judged by: what must be mounted, what may be remounted, and which wrongs are seen."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.chaos.actions import describe
from tests.chaos.judge import GuestSeen, MountSeen, judge_change, judge_guest
from tests.chaos.model import Kind, Share, State, World, moved, spread
from tests.chaos.weather import Weather, draw_storm

VM = "vm-0"


def share(name: str, place: str, *, kind: Kind = Kind.S3, page: str = "one", priority: int = 0) -> Share:
    return Share(name, kind, page, place, priority, vms=frozenset({VM}))


def world(*shares: Share) -> World:
    return World((VM, "vm-1"), {each.name: each for each in shares})


CALM = world(share("a", "p"), share("b", "p/q", kind=Kind.CUBEFS))
SEEN = GuestSeen(
    mounts=(MountSeen("p", 40, "0:40", "weft:a:1"), MountSeen("p/q", 41, "0:41", "weft:b:2")),
    clients=frozenset({7, 8}),
    served={7: "a", 8: "b"},
    states={"a": "mounted", "b": "mounted"},
    revision=3,
    contents={"p": "s3-one", "p/q": "cubefs-one"},
)


def test_a_share_is_for_those_who_are_named_and_for_members() -> None:
    """By name or by class, and for nobody else."""
    by_class = Share("c", Kind.BIND, "one", "x", classes=frozenset({"algebra"}))
    told = World((VM, "vm-1"), {"a": share("a", "p"), "c": by_class}, {"algebra": frozenset({"vm-1"})})
    assert (set(told.wanted(VM)), set(told.wanted("vm-1"))) == ({"a"}, {"c"})


@pytest.mark.parametrize(
    ("upper", "lower", "state"),
    [
        pytest.param(share("a", "p", priority=1), share("b", "p/q"), State.SHADOWED, id="higher above"),
        pytest.param(share("a", "p"), share("b", "p/q"), State.MOUNTED, id="equal above"),
        pytest.param(share("a", "p"), share("b", "p"), State.SHADOWED, id="smaller id on the same place"),
        pytest.param(share("a", "p"), share("b", "p", priority=1), State.MOUNTED, id="lower on the same place"),
        pytest.param(share("a", "p", priority=1), share("b", "pq"), State.MOUNTED, id="only a longer name"),
    ],
)
def test_a_higher_priority_keeps_a_share_from_being_mounted(upper: Share, lower: Share, state: State) -> None:
    """At the same place or above it."""
    assert world(upper, lower).standings(VM)["b"] is state


def test_what_lies_below_goes_along() -> None:
    """Whoever replaces a parent has a cause to remount its children, and nothing else."""
    before = world(share("a", "p"), share("b", "p/q"), share("c", "x"))
    after = before.with_share(share("a", "p", page="two"))
    moving = moved(before, after, VM)
    assert moving == frozenset({"a"})
    assert spread(moving, (before, after), VM) == frozenset({"a", "b"})


def test_a_new_priority_moves_nothing_by_itself() -> None:
    """No mount depends on it."""
    assert moved(CALM, CALM.with_share(share("a", "p", priority=0)), VM) == frozenset()


def test_a_guest_that_is_as_it_must_be_is_not_accused() -> None:
    """Nothing is wrong, and nothing changed."""
    assert list(judge_guest(CALM, VM, SEEN)) == []
    assert list(judge_change(VM, SEEN, SEEN, was=CALM, now=CALM, touched=())) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"mounts": SEEN.mounts[:1]}, "is not mounted", id="missing"),
        pytest.param({"mounts": (*SEEN.mounts, MountSeen("x", 42, "0:42", "s"))}, "nothing wants it", id="unwanted"),
        pytest.param({"mounts": (*SEEN.mounts, SEEN.mounts[0])}, "stacked", id="stacked"),
        pytest.param({"mounts": (MountSeen("p", 40, "0:40", "weft:z:1"), SEEN.mounts[1])}, "served by", id="swapped"),
        pytest.param({"clients": frozenset({7, 8, 9})}, "nobody's client", id="orphan"),
        pytest.param({"clients": frozenset({7})}, "not running", id="ghost"),
        pytest.param({"served": {7: "a", 8: "b", 9: "b"}, "clients": frozenset({7, 8, 9})}, "clients serve", id="two"),
        pytest.param({"contents": {"p": "s3-two", "p/q": "cubefs-one"}}, "instead of", id="other contents"),
        pytest.param({"states": {"a": "mounted", "b": "failed"}}, "agent says", id="status"),
    ],
)
def test_each_wrong_is_seen(changes: Mapping[str, object], word: str) -> None:
    """A guest that has something else than it must is told in words."""
    (first, *_) = judge_guest(CALM, VM, replace(SEEN, **changes))  # type: ignore[arg-type]
    assert word in first


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"revision": 2}, "revision fell", id="revision"),
        pytest.param({"served": {9: "a", 8: "b"}}, "share a was remounted", id="client"),
        pytest.param(
            {"mounts": (SEEN.mounts[0], MountSeen("p/q", 55, "0:41", "weft:b:2"))}, "share b was remounted", id="mount"
        ),
    ],
)
def test_a_change_without_a_cause_is_seen(changes: Mapping[str, object], word: str) -> None:
    """Where nobody touched a share, its mount and client stay; the revision never falls."""
    (first, *_) = judge_change(VM, SEEN, replace(SEEN, **changes), was=CALM, now=CALM, touched=())  # type: ignore[arg-type]
    assert word in first


def test_a_seed_tells_the_whole_story() -> None:
    """The same seed draws the same storms, whatever the machine does meanwhile."""

    def story(seed: int) -> list[str]:
        rng, weather = random.Random(seed), Weather(CALM, CALM)
        return [describe(action) for _ in range(20) for action in draw_storm(weather, rng)]

    assert story(1) == story(1)
    assert story(1) != story(2)
