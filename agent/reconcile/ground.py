"""What stands and what is being worked on, by path: the indexes that the plan's rules look things up in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from agent.reconcile.live import LiveShare, Presence
from agent.reconcile.phase import Step, StepKind
from agent.reconcile.wishes import ancestors, bind_source
from weft.wire.ids import ShareId


class Ground:
    """
    The mounts that are there.

    Args:
        live: Every mount of ours; those that are absent do not count.
    """

    def __init__(self, live: Mapping[ShareId, LiveShare]) -> None:
        self.there = {share_id: mount for share_id, mount in live.items() if mount.presence is not Presence.ABSENT}
        self._at: dict[str, set[ShareId]] = defaultdict(set)
        self._upon: dict[str, set[ShareId]] = defaultdict(set)
        for share_id, mount in self.there.items():
            self._at[mount.share.mount_point].add(share_id)
            for path in ancestors(mount.share.mount_point):
                self._upon[path].add(share_id)
            for path in _shown_through(bind_source(mount.share)):
                self._upon[path].add(share_id)

    def at(self, path: str) -> set[ShareId]:
        """Return the shares mounted exactly at *path*."""
        return self._at.get(path, set())

    def above(self, path: str) -> Iterable[ShareId]:
        """Yield the shares mounted strictly above *path*."""
        return (share_id for each in ancestors(path) for share_id in self.at(each))

    def upon(self, share_id: ShareId, places: Iterable[str]) -> set[ShareId]:
        """Return the other mounts that lie below one of *places*, or show a part of what is mounted there."""
        found: set[ShareId] = set()
        for place in places:
            found |= self._upon.get(place, set())
        return found - {share_id}


class Claims:
    """Paths that steps work at: nothing else may work at, above or below them meanwhile."""

    def __init__(self, running: Iterable[Step] = ()) -> None:
        self._at: set[str] = set()
        self._above: set[str] = set()
        self._shown: set[str] = set()
        for step in running:
            self.add(step)
            # A mount in flight already shows what it was told to, though it is not there yet.
            self._shown.update(_shown_through(bind_source(step.share)))

    def add(self, step: Step) -> None:
        """Claim where *step* works; a check changes nothing and claims nothing."""
        if step.kind is not StepKind.CHECK:
            self._at |= step.mount_points
            self._above |= {above for path in step.mount_points for above in ancestors(path)}

    def refuse(self, step: Step) -> bool:
        """Say whether *step* would work where another does."""
        if step.kind is StepKind.CHECK:
            return False
        return any(
            path in self._at
            or path in self._above
            or path in self._shown
            or any(above in self._at for above in ancestors(path))
            for path in step.mount_points
        )


def _shown_through(source: str | None) -> tuple[str, ...]:
    """Return every path at which a mount would hold *source*."""
    return () if source is None else (source, *ancestors(source))
