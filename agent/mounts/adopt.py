"""What becomes of each mount found at start: taken over, verified, undone, left for repair, or cleaned (pure)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

import msgspec

from agent.actual import LiveMount, Stage
from agent.mounts.mountinfo import MountEntry, MountTable
from agent.mounts.ownership import SourceName, parse_source, source_of
from weft.errors import MountError
from weft.wire.digest import shape_digest, share_digest
from weft.wire.ids import ShareId
from weft.wire.share import Action, ShareMount


class Adoption(enum.StrEnum):
    """What to do with one record."""

    ADOPT = "adopt"
    """It works: take it over as it is; whether it is wanted is for the plan to say."""
    VERIFY = "verify"
    """It was being mounted and shows: finish with the read of its root that was still to come, or undo it."""
    UNDO = "undo"
    """It was being mounted and does not show: take away what was begun."""
    REPAIR = "repair"
    """It is lost and wanted: keep its record; the next apply cleans up and mounts again."""
    CLEAN = "clean"
    """It is lost and not wanted: take away what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionReport:
    """
    What was found at start.

    Attributes:
        adopted: Taken over, same client, nothing remounted.
        undone: Half-finished starts that were taken back.
        lost: To be repaired by the next apply.
        cleaned: Dead and not wanted; gone now.
        orphans: Of the adopted ones, those that nobody wants; they stay until they are unmounted.
        failed: What could not be undone or cleaned, and why.
    """

    adopted: tuple[ShareId, ...] = ()
    undone: tuple[ShareId, ...] = ()
    lost: tuple[ShareId, ...] = ()
    cleaned: tuple[ShareId, ...] = ()
    orphans: tuple[ShareId, ...] = ()
    failed: Mapping[ShareId, MountError]


def decide_adoption(live: LiveMount, *, is_standing: bool, is_served: bool, is_wanted: bool) -> Adoption:
    """
    Decide about one record.

    A mount that was being taken down and still works is taken over: it may be wanted again by now, and if not, the plan
    takes it down anew.

    Args:
        live: The record.
        is_standing: Whether mountinfo shows it.
        is_served: Whether its client lives; True for a kernel mount.
        is_wanted: Whether it is among the desired shares, in whatever version.
    """
    lost = Adoption.REPAIR if is_wanted else Adoption.CLEAN
    match live.stage:
        case Stage.MOUNTED:
            return Adoption.ADOPT if is_standing and is_served else lost
        case Stage.STOPPING:
            was_up = live.mount_id != 0
            return Adoption.ADOPT if was_up and is_standing and is_served else lost
        case Stage.STARTING:
            # Without a client on record it is a kernel mount that may be half made, such as a bind not yet read-only.
            has_client = live.process is not None
            return Adoption.VERIFY if has_client and is_standing and is_served else Adoption.UNDO
        case Stage.DOWN:
            return lost
        case _:
            assert_never(live.stage)


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A mount that carries our source and is in no record: the ledger was lost; *is_noted* where our notes name it."""

    name: SourceName
    entry: MountEntry
    is_noted: bool


def find_unrecorded(
    table: MountTable,
    recorded: Mapping[ShareId, LiveMount],
    wanted: Mapping[ShareId, ShareMount],
    *,
    noted_at: Callable[[ShareId], str],
) -> tuple[Unrecorded, ...]:
    """
    Find mounts that carry our source and whose share has no record; one for each share.

    The source is not enough: a bind of a share's directory shows it too, and so does a share of that id which another
    agent on this machine has. What counts is the place that was noted when it was mounted, else where it is wanted.

    Args:
        table: What is mounted.
        recorded: What is known.
        wanted: The desired shares by id.
        noted_at: Returns the place that was noted, empty for none.
    """
    found: dict[ShareId, Unrecorded] = {}
    for entry in table.entries:
        name = parse_source(entry)
        if name is None or name.share_id in recorded or not table.is_visible(entry):
            continue
        share, noted = wanted.get(name.share_id), noted_at(name.share_id)
        is_wanted_here = share is not None and share.mount_point == entry.mount_point
        if entry.mount_point == noted or (is_wanted_here and name.share_id not in found):
            found[name.share_id] = Unrecorded(name, entry, is_noted=entry.mount_point == noted)
    return tuple(found.values())


def rebuild_record(
    found: Unrecorded, wanted: ShareMount | None, *, backend: str, private_dir: str, boot_id: str
) -> LiveMount:
    """
    Build the record that was lost.

    Args:
        found: The mount.
        wanted: The share as it is wanted now, if it is.
        backend: The backend to take it for, where it is not wanted.
        private_dir: Where the mount of a share keeps its files.
        boot_id: Of this boot.

    Returns:
        One with the wanted spec where mount point and source agree with it; else one with nothing but the place, which
        no wanted spec equals.
    """
    entry = found.entry
    is_same = (
        wanted is not None and wanted.mount_point == entry.mount_point and shape_digest(wanted) == found.name.shape
    )
    share = (
        wanted
        if wanted is not None and is_same
        else ShareMount(id=found.name.share_id, action=Action.UNMOUNT, backend=backend, mount_point=entry.mount_point)
    )
    return LiveMount(
        share=share,
        digest=share_digest(share) if is_same else "",
        stage=Stage.MOUNTED,
        boot_id=boot_id,
        path=entry.mount_point,
        mount_id=entry.mount_id,
        device=entry.device,
        root=entry.root,
        source=entry.source,
        fs_type=entry.fs_type,
        private_dir=private_dir,
    )


def recognise(live: LiveMount, wanted: ShareMount) -> LiveMount | None:
    """
    Give the record of a mount that only its source told the spec that has arrived since.

    Args:
        live: Any record.
        wanted: The share of that id as it is wanted now.

    Returns:
        The record, None where it has a spec already or another one than *wanted*.
    """
    is_rebuilt = live.share.is_unmount and live.stage is Stage.MOUNTED
    if not is_rebuilt or live.real_path != wanted.mount_point or live.source != source_of(wanted):
        return None
    return msgspec.structs.replace(live, share=wanted, digest=share_digest(wanted))
