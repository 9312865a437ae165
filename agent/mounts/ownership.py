"""Which entry of the mount table is which mount of ours, and how it stands (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.actual import LiveMount, Presence, Stage
from agent.mounts.mountinfo import MountEntry, MountTable
from agent.mounts.policy import OUR_SOURCE_PREFIX
from weft.errors import SubjectError
from weft.wire.digest import shape_digest
from weft.wire.ids import ShareId, parse_share_id
from weft.wire.share import ShareMount


@dataclass(frozen=True, slots=True)
class SourceName:
    """What the source of a mount of ours says: whose it is, and a digest of its spec without secrets."""

    share_id: ShareId
    shape: str

    def __str__(self) -> str:
        return f"{OUR_SOURCE_PREFIX}{self.share_id}:{self.shape}"


def source_of(share: ShareMount) -> str:
    """Build the source that mountinfo shall show for *share*."""
    return str(SourceName(share.share_id, shape_digest(share)))


def parse_source(entry: MountEntry) -> SourceName | None:
    """
    Read whose mount *entry* is from its source.

    Returns:
        None where it does not carry our source, or where an ordinary user mounted it and chose that source.
    """
    if not entry.source.startswith(OUR_SOURCE_PREFIX) or not is_mounted_by_root(entry):
        return None
    name, _, shape = entry.source.removeprefix(OUR_SOURCE_PREFIX).rpartition(":")
    try:
        return SourceName(parse_share_id(name), shape)
    except SubjectError:
        return None


def is_mounted_by_root(entry: MountEntry) -> bool:
    """FUSE is what ordinary users may mount; the kernel notes who did."""
    is_fuse = entry.fs_type == "fuse" or entry.fs_type.startswith("fuse.")
    return not is_fuse or "user_id=0" in entry.super_options


def belongs_to(entry: MountEntry, live: LiveMount, *, boot_id: str) -> bool:
    """
    Say whether *entry* is the mount that *live* remembers.

    A mount that was never seen up has no mount id yet. It is then known by its source or, where the kernel decides the
    source, by its place: nothing was mounted there when its record was written. The source alone says too little: a
    bind of a directory in a share shows that share's source. Nor do the ids alone: the kernel gives those of a mount
    that went, and its device number, to the next one that anybody makes.
    """
    if live.boot_id != boot_id or live.stage is Stage.DOWN:
        return False
    is_there = entry.mount_point == live.real_path
    if is_there and live.source.startswith(OUR_SOURCE_PREFIX) and entry.source == live.source:
        return is_mounted_by_root(entry)
    if live.mount_id:
        is_known = (entry.mount_id, entry.device, entry.source) == (live.mount_id, live.device, live.source)
        return is_known and live.root in ("", entry.root)
    return is_there and live.source in ("", entry.source)


def find_entry(live: LiveMount, table: MountTable, *, boot_id: str) -> MountEntry | None:
    """Return the entry of *live*, the visible one if there are several; None where nothing of it stands."""
    known = table.find(live.mount_id)
    candidates = (*table.at(live.real_path), *((known,) if known is not None else ()))
    found = [entry for entry in candidates if belongs_to(entry, live, boot_id=boot_id)]
    return next((entry for entry in found if table.is_visible(entry)), found[0] if found else None)


def decide_presence(
    live: LiveMount | None, table: MountTable, *, boot_id: str, is_served: bool, is_changing: bool
) -> Presence:
    """
    Say how a share stands.

    Args:
        live: Its record.
        table: The mount table.
        boot_id: Of this boot.
        is_served: Whether its client lives; True for a mount that needs none.
        is_changing: Whether it is being mounted, changed or unmounted right now.
    """
    if is_changing:
        return Presence.UNCERTAIN
    entry = None if live is None else find_entry(live, table, boot_id=boot_id)
    if live is None or entry is None:
        return Presence.ABSENT
    is_in_place = entry.mount_point == live.real_path and table.is_visible(entry)
    is_up = live.stage is Stage.MOUNTED and is_served and is_in_place
    return Presence.MOUNTED if is_up else Presence.UNCERTAIN
