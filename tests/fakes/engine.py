"""A small model of mounting: a stack of mounts as the kernel keeps it, and an ApplyFunc on top of it."""

from __future__ import annotations

from collections.abc import Mapping

from agent.reconcile.live import LiveShare, Presence
from weft.errors import BusyError, MountError, OccupiedError
from weft.wire.blocks import BindBlock
from weft.wire.digest import mount_digest, share_digest
from weft.wire.ids import ShareId
from weft.wire.paths import is_below
from weft.wire.share import ShareMount


class FakeEngine:
    """
    Mounts in memory, refusing what a real engine would refuse.

    Attributes:
        live: What is mounted, in the order it was mounted.
        log: Every call, as ``"mount a"``, ``"change a"`` or ``"unmount a"``, successful ones only.
        failures: What the next mount of a share raises, last first; an empty list means success.
    """

    def __init__(self) -> None:
        self.live: dict[ShareId, LiveShare] = {}
        self.log: list[str] = []
        self.failures: dict[str, list[MountError]] = {}

    def observe(self) -> Mapping[ShareId, LiveShare]:
        """Return what is mounted."""
        return dict(self.live)

    def add(self, share: ShareMount, presence: Presence = Presence.MOUNTED) -> None:
        """Have *share* mounted already."""
        self.live[share.share_id] = LiveShare(share, share_digest(share), presence)

    async def apply(self, share: ShareMount) -> None:
        """Perform one step."""
        self.perform(share)

    def perform(self, share: ShareMount) -> None:
        """Mount, change, replace or unmount *share*."""
        failures = self.failures.get(share.id, [])
        if failures:
            raise failures.pop()
        if share.is_unmount:
            self._unmount(share.share_id)
            self.log.append(f"unmount {share.id}")
            return
        old = self.live.get(share.share_id)
        if old is not None and old.presence is not Presence.ABSENT and mount_digest(old.share) == mount_digest(share):
            self.live[share.share_id] = LiveShare(share, share_digest(share))
            if old.digest != share_digest(share):
                self.log.append(f"change {share.id}")
            return
        self._unmount(share.share_id)
        self._refuse_overlap(share)
        self.live[share.share_id] = LiveShare(share, share_digest(share))
        self.log.append(f"mount {share.id}")

    def _unmount(self, share_id: ShareId) -> None:
        old = self.live.get(share_id)
        if old is not None and old.presence is not Presence.ABSENT:
            upon = [m.share.id for m in self._there() if _stands_on(m.share, old.share.mount_point) and m is not old]
            if upon:
                raise BusyError(f"cannot unmount {share_id}: {upon} stand on it")
        self.live.pop(share_id, None)

    def _refuse_overlap(self, share: ShareMount) -> None:
        for mount in self._there():
            if mount.share.mount_point == share.mount_point:
                raise OccupiedError(f"cannot mount {share.id}: {mount.share.id} is there")
            if is_below(mount.share.mount_point, share.mount_point):
                raise OccupiedError(f"cannot mount {share.id}: it would cover {mount.share.id}")

    def _there(self) -> list[LiveShare]:
        return [mount for mount in self.live.values() if mount.presence is not Presence.ABSENT]


def _stands_on(share: ShareMount, mount_point: str) -> bool:
    block = share.block
    is_shown = isinstance(block, BindBlock) and (block.source + "/").startswith(mount_point + "/")
    return is_below(share.mount_point, mount_point) or is_shown
