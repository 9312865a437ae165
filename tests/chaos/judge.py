"""The rules themselves: given what must be, what was and what is, everything that is wrong, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from tests.chaos.model import Kind, World

PLACE_OF_SOURCE = "weft:"


@dataclass(frozen=True, slots=True)
class MountSeen:
    """One entry of the mount table, its place relative to the guest's root."""

    place: str
    mount_id: int
    device: str
    source: str


@dataclass(frozen=True, slots=True)
class GuestSeen:
    """
    What one guest really has, when all is calm.

    Attributes:
        mounts: Its part of the mount table, one entry for each layer.
        clients: Processes of clients.
        served: Which share each of those serves, as far as the agent knows.
        states: What the agent says of each share.
        revision: What the agent holds.
        contents: What the file in the root of each mounted place says, or why it cannot be read.
    """

    mounts: tuple[MountSeen, ...]
    clients: frozenset[int]
    served: Mapping[int, str]
    states: Mapping[str, str]
    revision: int
    contents: Mapping[str, str]

    def identity(self, place: str, name: str) -> tuple[object, ...]:
        """Return what must stay the same while nobody touches a share."""
        ids = tuple((mount.mount_id, mount.device) for mount in self.mounts if mount.place == place)
        return (ids, tuple(sorted(pid for pid, share in self.served.items() if share == name)))


def judge_guest(world: World, vm: str, seen: GuestSeen) -> Iterator[str]:
    """Say what is wrong with a guest at rest."""
    mounted = world.mounted(vm)
    places = {share.place: name for name, share in mounted.items()}
    layers = Counter(mount.place for mount in seen.mounts)
    for place, count in layers.items():
        if place not in places:
            yield f"{vm}: {place} is mounted, and nothing wants it there"
        if count > 1:
            yield f"{vm}: {count} mounts are stacked on {place}"
    for place, name in places.items():
        share = mounted[name]
        if place not in layers:
            yield f"{vm}: share {name} is not mounted at {place}"
        elif seen.contents.get(place) != f"{share.kind}-{share.page}":
            yield f"{vm}: {place} shows {seen.contents.get(place)!r} instead of {share.kind}-{share.page}"
    for mount in seen.mounts:
        name = places.get(mount.place, "")
        if mount.source.startswith(PLACE_OF_SOURCE) and mount.source.split(":")[1] != name:
            yield f"{vm}: {mount.place} is served by {mount.source}, not by {name}"
    wanted = {name: state.value for name, state in world.standings(vm).items()}
    if dict(seen.states) != wanted:
        yield f"{vm}: the agent says {dict(seen.states)}, and it must be {wanted}"
    with_client = Counter(name for name, share in mounted.items() if share.kind is not Kind.BIND)
    if Counter(seen.served.values()) != with_client:
        yield f"{vm}: clients serve {sorted(seen.served.values())}, and they must serve {sorted(with_client)}"
    for pid in sorted(seen.clients ^ seen.served.keys()):
        yield f"{vm}: process {pid} " + ("is nobody's client" if pid in seen.clients else "is not running")


def judge_change(
    vm: str, before: GuestSeen, after: GuestSeen, *, was: World, now: World, touched: Collection[str]
) -> Iterator[str]:
    """Say what changed in a guest without a cause."""
    old, new = was.mounted(vm), now.mounted(vm)
    for name in sorted(old.keys() & new.keys()):
        if name in touched or old[name].place != new[name].place:
            continue
        then, today = before.identity(old[name].place, name), after.identity(new[name].place, name)
        if then != today:
            yield f"{vm}: share {name} was remounted though nobody touched it: {then} -> {today}"
    if after.revision < before.revision:
        yield f"{vm}: the revision fell from {before.revision} to {after.revision}"
