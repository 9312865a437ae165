"""A mount that went elsewhere, since somebody replaced its mount point meanwhile: found by its source, and detached."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from agent.drivers.base import MountCommand
from agent.mounts.mountinfo import MountEntry, MountTable
from agent.mounts.ownership import is_mounted_by_root
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from weft.errors import MountError

_log = structlog.get_logger(__name__)

_TRIES = 16
"""Each looks up anew where the mount is: whoever moved it once may move it again."""


class Strays:
    """
    What one start mounts anywhere else than at its mount point.

    Args:
        command: What is started; a kernel mount whose source nobody can tell in advance leaves no trace to go by.
        path: Where its mount belongs.
        before: The mount table before the start.
    """

    def __init__(self, command: MountCommand, path: str, *, before: MountTable) -> None:
        self._source = command.source or command.shown_as
        self._fs_types = command.fs_types
        self._path = path
        self._before = frozenset(before.with_source(self._source)) if self._source is not None else frozenset()

    def find(self, table: MountTable, *, known: Collection[str] = ()) -> tuple[MountEntry, ...]:
        """
        Find them in *table*.

        A bind of the mount that stands in its place, or a copy that propagated from there, shows its source as well,
        and its device.

        Args:
            table: What is mounted now.
            known: Places of other shares: two may have the same tag or export.
        """
        if self._source is None:
            return ()
        here = table.top_at(self._path)
        return tuple(
            entry
            for entry in table.with_source(self._source)
            if entry.mount_point != self._path
            and entry.mount_point not in known
            and entry.fs_type in self._fs_types
            and entry not in self._before
            and (here is None or entry.device != here.device)
            and is_mounted_by_root(entry)
        )


async def detach_strays(
    strays: Strays, *, share: str, table: MountTableWatcher, walker: Walker, known: Collection[str]
) -> bool:
    """
    Detach every mount that went astray; by descriptor, so that nothing else is unmounted in its place.

    Returns:
        Whether there was any.
    """
    is_any = False
    for _ in range(_TRIES):
        found = strays.find(table.refresh(), known=known)
        if not found:
            return is_any
        is_any = True
        for entry in found:
            try:
                is_gone = await walker.detach(entry.mount_point, entry.mount_id)
            except MountError as exc:
                _log.debug("mount.astray", share=share, path=entry.mount_point, error=str(exc))
            else:
                if is_gone:
                    _log.warning("mount.astray", share=share, path=entry.mount_point)
    for entry in strays.find(table.refresh(), known=known):
        _log.error(
            "mount.astray", share=share, path=entry.mount_point, error="cannot detach it: it moves, or is covered"
        )
    return is_any
