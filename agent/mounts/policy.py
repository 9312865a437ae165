"""What this guest allows: where a share may be mounted, and which of the guest's own directories it may show (pure)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import assert_never

from agent.mounts.facts import PathFacts, PathKind
from agent.mounts.mountinfo import MountEntry, MountTable
from weft.errors import DeniedError, ErrorCode, MountError, OccupiedError
from weft.wire.paths import is_at_or_below, is_below, system_directory_of

DEFAULT_ROOTS = ("/run/weft/shares", "/mnt", "/media", "/srv", "/workspace", "/opt", "/data", "/home")
"""Where people expect foreign file systems or data; nothing that the guest itself runs on."""

OUR_SOURCE_PREFIX = "weft:"
"""How the mountinfo source of a mount begins whose client let us choose it."""

_ENTRIES_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    The guest's rules for paths.

    Attributes:
        roots: Mount points lie at or below one of these.
        source_roots: Directories of the guest that a share shows (bind, rclone's ``local``) lie at or below these.
    """

    roots: tuple[str, ...] = DEFAULT_ROOTS
    source_roots: tuple[str, ...] = DEFAULT_ROOTS


def carries_our_source(entry: MountEntry) -> bool:
    """Say whether *entry* names weft as its source; kernel mounts are recognised by the ledger instead."""
    return entry.source.startswith(OUR_SOURCE_PREFIX)


def decide_place(mount_point: str, *, policy: Policy) -> None:
    """
    Judge the text of a mount point, before anything of it is looked at.

    Raises:
        DeniedError: it is, or lies in, a system directory, or lies outside the allowed roots.
    """
    system = system_directory_of(mount_point)
    if system == mount_point:
        raise DeniedError(f"cannot mount at {mount_point!r}: it is a system directory")
    if system is not None:
        raise DeniedError(f"cannot mount at {mount_point!r}: it lies in the system directory {system!r}")
    if not any(is_at_or_below(mount_point, root) for root in policy.roots):
        raise DeniedError(
            f"cannot mount at {mount_point!r}: it is not below an allowed root ({', '.join(policy.roots)}); "
            "--allow adds others"
        )


def decide_mount_point(
    mount_point: str,
    facts: PathFacts,
    table: MountTable,
    *,
    is_first: bool,
    made_by_us: bool,
    policy: Policy,
    is_ours: Callable[[MountEntry], bool] = carries_our_source,
    our_directories: Collection[str] = (),
) -> None:
    """
    Judge a mount point by what lies there.

    Args:
        mount_point: As the share names it.
        facts: What ``Walker.inspect(mount_point, policy.roots)`` found.
        table: The mount table.
        is_first: Whether this share was never mounted here; only then do entries in the directory matter. On repair
            they are what users wrote while the mount was away, and covering them beats having no share.
        made_by_us: Whether we made the directory; what is in it does not count then.
        policy: The guest's rules.
        is_ours: Tells our mounts from foreign ones. Under a mount of ours the directory itself is not judged, and in
            one its entries are not: which share serves a path is the shares' own rule; only the guest's files count.
        our_directories: Every directory that we made, resolved; none of them counts as an entry.

    Raises:
        DeniedError: outside the roots, a system directory, or a symbolic link at it or on the way.
        OccupiedError: a file, a foreign mount, or a directory with entries.
    """
    decide_place(mount_point, policy=policy)
    refuse = f"cannot mount at {mount_point!r}"
    if facts.resolved_path != mount_point and (system := system_directory_of(facts.resolved_path)) is not None:
        raise DeniedError(f"{refuse}: it leads to {facts.resolved_path!r}, in the system directory {system!r}")
    top = table.top_at(facts.resolved_path)
    if top is not None and not is_ours(top):
        raise OccupiedError(f"{refuse}: a {top.fs_type} mount of {top.source!r} is there, and it is not weft's")
    match facts.kind:
        case PathKind.MISSING:
            return
        case PathKind.SYMLINK:
            raise DeniedError(f"{refuse}: {facts.ended_at!r} is a symbolic link")
        case PathKind.FILE:
            raise OccupiedError(f"{refuse}: {facts.ended_at!r} is a file")
        case PathKind.OTHER:
            raise OccupiedError(f"{refuse}: {facts.ended_at!r} is no directory")
        case PathKind.DIRECTORY:
            pass
        case _:
            assert_never(facts.kind)
    if not is_first or made_by_us:
        return
    foreign = find_covered(facts, table, is_ours=is_ours, our_directories=our_directories)
    if foreign:
        raise OccupiedError(f"{refuse}: the directory is not empty ({_name_some(foreign)})", detail="\n".join(foreign))


def find_covered(
    facts: PathFacts,
    table: MountTable,
    *,
    is_ours: Callable[[MountEntry], bool] = carries_our_source,
    our_directories: Collection[str] = (),
) -> tuple[str, ...]:
    """
    Name the guest's own entries that a mount would hide from its users; none where it lies in or on a mount of ours.

    Args:
        facts: What ``Walker.inspect`` found at the mount point.
        table: The mount table.
        is_ours: Tells our mounts from foreign ones.
        our_directories: Every directory that we made, resolved; none of them counts.
    """
    path = facts.resolved_path
    if facts.kind is not PathKind.DIRECTORY or table.top_at(path) is not None or is_ours(table.holding(path)):
        return ()
    return tuple(name for name in facts.entries if not _is_ours_in(name, path, table, is_ours, our_directories))


def decide_source(source: str, facts: PathFacts, *, policy: Policy) -> None:
    """
    Judge a directory of the guest that a share is to show.

    Args:
        source: As the share names it.
        facts: What ``Walker.inspect(source, policy.source_roots)`` found.
        policy: The guest's rules.

    Raises:
        DeniedError: outside the source roots, or a symbolic link at it or on the way.
        MountError: ``not_found``: it is missing, or no directory; worth another try when somebody made it.
    """
    refuse = f"cannot share {source!r}"
    if not any(is_at_or_below(source, root) for root in policy.source_roots):
        raise DeniedError(
            f"{refuse}: it is not below an allowed source root ({', '.join(policy.source_roots)}); "
            "--allow-source adds others"
        )
    match facts.kind:
        case PathKind.DIRECTORY:
            return
        case PathKind.SYMLINK:
            raise DeniedError(f"{refuse}: {facts.ended_at!r} is a symbolic link")
        case PathKind.MISSING:
            raise MountError(f"{refuse}: {facts.ended_at!r} does not exist", code=ErrorCode.NOT_FOUND)
        case PathKind.FILE | PathKind.OTHER:
            raise MountError(f"{refuse}: {facts.ended_at!r} is no directory", code=ErrorCode.NOT_FOUND)
        case _:
            assert_never(facts.kind)


def _is_ours_in(
    name: str,
    directory: str,
    table: MountTable,
    is_ours: Callable[[MountEntry], bool],
    our_directories: Collection[str],
) -> bool:
    """Say whether the entry *name* is there because of us: we made it or below it, or it leads to a mount of ours."""
    path = f"{directory}/{name}"
    if any(is_at_or_below(made, path) for made in our_directories):
        return True
    return any(
        (entry.mount_point == path or is_below(entry.mount_point, path)) and is_ours(entry)
        for entry in table.below(directory)
    )


def _name_some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_ENTRIES_NAMED])
    return shown if len(names) <= _ENTRIES_NAMED else f"{shown} and more"
