"""What a fleet must look like: shares, classes and guests as plain values, and the rules that follow from them."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

PLACES = ("p", "p/q", "p/q/r", "x", "x/y")
PAGES = ("one", "two")
CLASSES = ("algebra", "physics")


class Kind(enum.StrEnum):
    """What serves a share."""

    S3 = "s3"
    CUBEFS = "cubefs"
    BIND = "bind"


class State(enum.StrEnum):
    """Where a wanted share must stand when all is calm."""

    MOUNTED = "mounted"
    SHADOWED = "shadowed"


@dataclass(frozen=True, slots=True)
class Share:
    """
    One share as an operator asks for it.

    Attributes:
        name: Its id.
        kind: What serves it.
        page: Which directory of the backend it shows.
        place: Its mount point, relative to the guest's root.
        priority: See the rule of :meth:`World.standings`.
        vms: Guests that are named.
        classes: Classes that are named.
    """

    name: str
    kind: Kind
    page: str
    place: str
    priority: int = 0
    vms: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()

    @property
    def shape(self) -> tuple[Kind, str, str]:
        """What cannot change without a new mount."""
        return (self.kind, self.page, self.place)


@dataclass(frozen=True, slots=True)
class World:
    """What operators have asked for so far."""

    vms: tuple[str, ...]
    shares: Mapping[str, Share] = field(default_factory=dict)
    members: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def with_share(self, share: Share) -> World:
        """Return the world after *share* was published."""
        return replace(self, shares={**self.shares, share.name: share})

    def without_share(self, name: str) -> World:
        """Return the world after a share was ended."""
        return replace(self, shares={each: share for each, share in self.shares.items() if each != name})

    def with_members(self, name: str, vms: Iterable[str]) -> World:
        """Return the world after a class got other members."""
        return replace(self, members={**self.members, name: frozenset(vms)})

    def wanted(self, vm: str) -> dict[str, Share]:
        """Return what a guest is to have, by id."""
        mine = {name for name, vms in self.members.items() if vm in vms}
        return {name: share for name, share in self.shares.items() if vm in share.vms or share.classes & mine}

    def standings(self, vm: str) -> dict[str, State]:
        """
        Say of every share that a guest is to have whether it is mounted.

        It is not where another one with a higher priority has its mount point or one above it, or, with the same
        priority and the same mount point, the smaller id.
        """
        wanted = self.wanted(vm)
        return {
            name: State.SHADOWED if any(_shadows(other, share) for other in wanted.values()) else State.MOUNTED
            for name, share in wanted.items()
        }

    def mounted(self, vm: str) -> dict[str, Share]:
        """Return what must be mounted in a guest, by id."""
        return {
            name: share
            for name, share in self.wanted(vm).items()
            if self.standings(vm)[name] is State.MOUNTED
        }  # fmt: skip


def _shadows(upper: Share, lower: Share) -> bool:
    if upper.name == lower.name or not is_at_or_below(lower.place, upper.place):
        return False
    if upper.priority != lower.priority:
        return upper.priority > lower.priority
    return upper.place == lower.place and upper.name < lower.name


def is_at_or_below(place: str, upper: str) -> bool:
    """Say whether *place* is *upper* or inside it."""
    return place == upper or place.startswith(f"{upper}/")


def moved(before: World, after: World, vm: str) -> frozenset[str]:
    """Name the shares whose mounts in a guest a change of the world gives a cause to come, to go or to be replaced."""
    old, new = before.mounted(vm), after.mounted(vm)
    return frozenset(
        name
        for name in {*old, *new}
        if (old[name].shape if name in old else None) != (new[name].shape if name in new else None)
    )


def spread(moving: Iterable[str], worlds: Iterable[World], vm: str) -> frozenset[str]:
    """
    Add to the shares that have a cause to move those that lie at or below them: they go along.

    Args:
        moving: Ids.
        worlds: Everything that was asked for meanwhile.
        vm: The guest.
    """
    seen = list(worlds)
    names = frozenset(moving)
    places = {world.shares[name].place for world in seen for name in names if name in world.shares}
    return names | {
        share.name
        for world in seen
        for share in world.wanted(vm).values()
        if any(is_at_or_below(share.place, place) for place in places)
    }
