"""What is really there: the mount table, the processes, what the agents say, and what a user reads."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.mounts.mountinfo import MountTable
from tests.chaos.backends import SIGN
from tests.chaos.judge import GuestSeen, MountSeen
from tests.chaos.model import World
from tests.chaos.stage import Stage

READ_S = 10.0
HISTORY = 40


async def look_at(stage: Stage, vm: str, world: World) -> GuestSeen:
    """Look at one guest."""
    status = await stage.agents[vm].status()
    places = sorted(share.place for share in world.mounted(vm).values())
    contents = {place: await _read(stage.root(vm) / place / SIGN) for place in places}
    served = {
        int(each["process"]["pid"]): str(each["share"]["id"])
        for each in stage.live(vm)
        if each["process"] is not None and each["stage"] == "mounted"
    }
    return GuestSeen(
        mounts=tuple(_mounts(stage.table.refresh(), stage.root(vm))),
        clients=frozenset(_clients(stage.agents[vm].run_dir / "private")),
        served=served,
        states=states_of(status),
        revision=status["held_revision"],
        contents=contents,
    )


def states_of(status: dict[str, Any]) -> dict[str, str]:
    """Return the state of each share, by id."""
    return {share["id"]: share["state"] for share in status["shares"]}


async def _read(path: Path) -> str:
    try:
        return await asyncio.wait_for(asyncio.to_thread(path.read_text), READ_S)
    except (OSError, TimeoutError) as exc:
        return repr(exc)


def _mounts(table: MountTable, root: Path) -> Iterator[MountSeen]:
    for entry in table.entries:
        if entry.mount_point.startswith(f"{root}/"):
            place = entry.mount_point.removeprefix(f"{root}/")
            yield MountSeen(place, entry.mount_id, entry.device, entry.source)


def _clients(private: Path) -> Iterator[int]:
    """Find the processes that were given a file in the private directories of one agent."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if str(private).encode() in command:
            yield int(entry.name)


class Watch:
    """
    Looks at every change of the mount table: no stack may ever be seen, and nothing where nothing was ever wanted.

    Args:
        stage: The fleet.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._allowed: dict[str, set[str]] = {vm: set() for vm in stage.vms}
        self._found: list[str] = []
        self._places: set[str] = set()
        self.history: deque[str] = deque(maxlen=HISTORY)
        """The last mounts that came and went."""
        self.end: Callable[[], None] = stage.table.subscribe(self._look)

    def allow(self, *worlds: World) -> None:
        """From now on allow what any of these worlds wants, and nothing else."""
        self._allowed = {
            vm: {share.place for world in worlds for share in world.wanted(vm).values()} for vm in self._stage.vms
        }

    def take(self) -> list[str]:
        """Return what was seen that must not be, once."""
        found, self._found = self._found, []
        return found

    def _look(self, table: MountTable) -> None:
        root = f"{self._stage.directory}/"
        places = {entry.mount_point for entry in table.entries if entry.mount_point.startswith(root)}
        now = datetime.now(UTC).isoformat()
        self.history += [f"{now} {place} came" for place in sorted(places - self._places)]
        self.history += [f"{now} {place} went" for place in sorted(self._places - places)]
        self._places = places
        for vm, allowed in self._allowed.items():
            layers = Counter(mount.place for mount in _mounts(table, self._stage.root(vm)))
            self._found += [f"{vm}: {count} mounts were stacked on {at}" for at, count in layers.items() if count > 1]
            self._found += [f"{vm}: {at} was mounted, and nothing wanted it" for at in layers.keys() - allowed]
