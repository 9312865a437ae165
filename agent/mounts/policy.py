"""What this guest allows: where a share may be mounted, and which of the guest's own directories it may show (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from agent.mounts.facts import PathFacts, PathKind
from agent.mounts.mountinfo import MountEntry, MountTable
from weft.errors import DeniedError, ErrorCode, MountError, OccupiedError
from weft.wire.paths import find_objection, is_at_or_below, is_below

DEFAULT_ROOTS = ("/run/weft/shares", "/mnt", "/media", "/srv", "/workspace", "/data", "/home")
"""Where people expect foreign file systems or data. Software is installed below /opt: whoever mounts there decides what
the guest runs."""

OUR_SOURCE_PREFIX = "weft:"
"""How the mountinfo source of a mount begins whose client let us choose it."""

_HOME = re.compile(r"/home/[^/]+")
"""Also where no account of this guest says so: it may come from a directory service, or be made later."""

_ENTRIES_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    The guest's rules for paths.

    Attributes:
        roots: Mount points lie at or below one of these.
        source_roots: Directories of the guest that a share shows (bind, rclone's ``local``) lie at or below these.
        protected: What the agent runs on, whatever the roots: path → the end of a sentence that says what it is. No
            share is mounted on it, in it or above it, and none shows any of it.
        homes: Home directories of users. None is covered or shown as a whole, with the keys and start-up files in it;
            what lies below one is its owner's, and allowed if the roots allow it.
    """

    roots: tuple[str, ...] = DEFAULT_ROOTS
    source_roots: tuple[str, ...] = DEFAULT_ROOTS
    protected: Mapping[str, str] = field(default_factory=dict)
    homes: frozenset[str] = frozenset()


def carries_our_source(entry: MountEntry) -> bool:
    """Say whether *entry* names weft as its source; kernel mounts are recognised by the ledger instead."""
    return entry.source.startswith(OUR_SOURCE_PREFIX)


def decide_place(mount_point: str, *, policy: Policy) -> None:
    """
    Judge the text of a mount point, before anything of it is looked at.

    Raises:
        DeniedError: the guest runs on it, or users' settings lie there, or it is outside the allowed roots.
    """
    objection = _find_objection(mount_point, policy)
    if objection is not None:
        raise DeniedError(f"cannot mount at {mount_point!r}: {objection}")
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
        DeniedError: as :func:`decide_place`, by either of its names, or a symbolic link at it or on the way.
        OccupiedError: a file, a foreign mount, or a directory with entries.
    """
    decide_place(mount_point, policy=policy)
    refuse = f"cannot mount at {mount_point!r}"
    _decide_real_path(refuse, mount_point, facts, policy)
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
        DeniedError: outside the source roots, a symbolic link at it or on the way, or, by either of its names, what
            may not be mounted on either.
        MountError: ``not_found``: it is missing, or no directory; worth another try when somebody made it.
    """
    refuse = f"cannot share {source!r}"
    if not any(is_at_or_below(source, root) for root in policy.source_roots):
        raise DeniedError(
            f"{refuse}: it is not below an allowed source root ({', '.join(policy.source_roots)}); "
            "--allow-source adds others"
        )
    objection = _find_objection(source, policy)
    if objection is not None:
        raise DeniedError(f"{refuse}: {objection}")
    _decide_real_path(refuse, source, facts, policy)
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


def _decide_real_path(refuse: str, path: str, facts: PathFacts, policy: Policy) -> None:
    """Judge where *path* leads by the links in its root, as if it had been named so."""
    real = facts.resolved_path
    objection = _find_objection(real, policy) if real != path else None
    if objection is not None:
        raise DeniedError(f"{refuse}: it leads to {real!r}, and {objection}")


def _find_objection(path: str, policy: Policy) -> str | None:
    """Say what forbids *path* whatever the roots are; None where nothing does."""
    objection = find_objection(path)
    if objection is not None:
        return objection
    for kept, what in policy.protected.items():
        if is_at_or_below(path, kept):
            return f"it is {kept!r}, {what}" if path == kept else f"it lies in {kept!r}, {what}"
        if is_below(kept, path):
            return f"it holds {kept!r}, {what}"
    for home in policy.homes:
        if is_below(home, path):
            return f"it holds the home directory {home!r}"
    if path in policy.homes or _HOME.fullmatch(path):
        return "it is a user's home directory, which holds keys and start-up files; only what lies below it is allowed"
    return None


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
