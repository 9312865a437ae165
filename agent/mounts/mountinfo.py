"""The kernel's mount table as values: what is mounted where, and what a path lookup would reach (pure)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from weft.printable import encodable
from weft.wire.paths import is_below

_OCTAL = re.compile(r"\\([0-7]{3})")
_DELETED = "//deleted"


@dataclass(frozen=True, slots=True)
class MountEntry:
    """
    One line of ``/proc/self/mountinfo``.

    Attributes:
        mount_id: The kernel's id of this mount; used again after an unmount.
        parent_id: Id of the mount that this one lies on.
        device: ``major:minor`` of the file system, the same for all mounts of one superblock.
        root: The directory within the file system that is shown; tells bind mounts apart. Its owner may rename it to
            bytes that are no text, which stand here as escapes.
        mount_point: Where it is mounted, as this process sees it.
        options: Options of this mount, such as ``ro``.
        fs_type: Type with subtype, such as ``fuse.rclone``.
        source: Whatever the mounter said; ``weft:<id>:<digest8>`` where the client lets us choose.
        super_options: Options of the file system, which every mount of it shares.
        is_deleted: Whether the directory it shows was removed since (``//deleted`` in the kernel's text).
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: frozenset[str]
    fs_type: str
    source: str
    super_options: frozenset[str]
    is_deleted: bool = False


def parse_mountinfo(text: str) -> tuple[MountEntry, ...]:
    """
    Read the text of ``/proc/<pid>/mountinfo``.

    ::

        36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw,errors=continue
        id parent dev root mount_point options optional…  - type source    super options

    Quirks: a path may hold any byte but ``\\0`` (space, tab, newline, backslash and, since 5.18, ``#`` arrive as octal
    escapes, other white space as it is), so only ``\\n`` ends a line and only one space parts two fields. Optional
    fields may be none or many. An empty source was printed as nothing before 5.14.

    Args:
        text: All of it, decoded with ``surrogateescape``.

    Returns:
        The entries in the kernel's order, which is that of mounting on most kernels; rely on ids, not on it.

    Raises:
        ValueError: a line is not of this form, so nothing after it can be trusted.

    Source:
        proc_pid_mountinfo(5).
    """
    return tuple(parse_lines(text, {}).values())


def parse_lines(text: str, known: Mapping[str, MountEntry]) -> dict[str, MountEntry]:
    """
    Parse mountinfo's *text*, looking lines up in *known*: of a thousand mounts, one changes at a time.

    Returns:
        The entries by line, in the kernel's order; no two lines are the same, as each has a mount id of its own.

    Raises:
        ValueError: as :func:`parse_mountinfo`.
    """
    return {line: known.get(line) or _parse_line(line) for line in text.split("\n") if line}


def _parse_line(line: str) -> MountEntry:
    fields = line.split(" ")
    try:
        separator = fields.index("-", 6)
        fs_type, source, super_options = fields[separator + 1 : separator + 4]
        root = encodable(_unescape(fields[3]))
        return MountEntry(
            mount_id=int(fields[0]),
            parent_id=int(fields[1]),
            device=fields[2],
            root=root.removesuffix(_DELETED) or "/",
            mount_point=_unescape(fields[4]),
            options=frozenset(fields[5].split(",")),
            fs_type=_unescape(fs_type),
            source=_unescape(source),
            super_options=frozenset(_unescape(super_options).split(",")),
            is_deleted=root.endswith(_DELETED),
        )
    except ValueError as exc:
        raise ValueError(f"cannot read mountinfo line {line!r}: {exc}") from exc


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field) if "\\" in field else field


@dataclass(frozen=True)
class MountTable:
    """
    Every mount of one namespace at one moment.

    Args:
        entries: As :func:`parse_mountinfo` returns them.
    """

    entries: tuple[MountEntry, ...]

    def at(self, path: str) -> tuple[MountEntry, ...]:
        """Return every mount on exactly *path*, lowest first; those no lookup meets come before those it does."""
        met = {entry.mount_id: rank for rank, entry in enumerate(self._lookup(path))}
        return tuple(
            sorted(self._by_point.get(path, ()), key=lambda entry: (met.get(entry.mount_id, -1), self._depth(entry)))
        )

    def top_at(self, path: str) -> MountEntry | None:
        """Return the mount on *path* that a lookup reaches; None where nothing is mounted or all of it is covered."""
        reached = self._lookup(path)
        return reached[-1] if reached and reached[-1].mount_point == path else None

    def below(self, path: str) -> tuple[MountEntry, ...]:
        """Return every mount strictly below *path*, covered or not, in the table's order."""
        return tuple(entry for entry in self.entries if is_below(entry.mount_point, path))

    def upon(self, entry: MountEntry) -> tuple[MountEntry, ...]:
        """Return what goes when *entry* is detached lazily: every mount on it, on those, and so on; parents first."""
        found: list[MountEntry] = []
        for child in self._children.get(entry.mount_id, ()):
            found += [child, *self.upon(child)]
        return tuple(found)

    def is_visible(self, entry: MountEntry) -> bool:
        """Say whether *entry* is in the table and a lookup of its mount point ends on it, not on a later mount."""
        return self.top_at(entry.mount_point) == entry

    def holding(self, path: str) -> MountEntry:
        """
        Return the mount that *path* lies on, by text; no file system is asked.

        Raises:
            LookupError: the table shows no root, as in a chroot into a plain directory.
        """
        reached = self._lookup(path)
        if not reached:
            raise LookupError(f"cannot tell which mount holds {path!r}: the mount table shows no root")
        return reached[-1]

    def by_source_prefix(self, prefix: str) -> tuple[MountEntry, ...]:
        """Return every mount whose source begins with *prefix*, covered or not, in the table's order."""
        return tuple(entry for entry in self.entries if entry.source.startswith(prefix))

    def with_source(self, source: str) -> tuple[MountEntry, ...]:
        """Return every mount with exactly this source, covered or not, in the table's order."""
        return tuple(self._by_source.get(source, ()))

    def find(self, mount_id: int) -> MountEntry | None:
        """Return the mount with this id, if there is one."""
        return self._by_id.get(mount_id)

    def _lookup(self, path: str) -> list[MountEntry]:
        """
        Walk as the kernel does: from the root, at each prefix of *path*, up through every mount stacked there.

        Returns:
            The mounts passed, the one that *path* lies on last; empty where the table shows no root and no mount on
            the way.
        """
        passed: list[MountEntry] = []
        for prefix in _prefixes(path):
            under = passed[-1].mount_id if passed else None
            while (stepped := self._on.get((under, prefix))) is not None:
                passed.append(stepped)
                under = stepped.mount_id
        return passed

    def _depth(self, entry: MountEntry) -> int:
        depth = 0
        while (parent := self._by_id.get(entry.parent_id)) is not None and depth < len(self.entries):
            entry, depth = parent, depth + 1
        return depth

    @cached_property
    def _by_id(self) -> dict[int, MountEntry]:
        return {entry.mount_id: entry for entry in self.entries}

    @cached_property
    def _by_source(self) -> dict[str, list[MountEntry]]:
        sources = defaultdict(list)
        for entry in self.entries:
            sources[entry.source].append(entry)
        return sources

    @cached_property
    def _by_point(self) -> dict[str, list[MountEntry]]:
        points = defaultdict(list)
        for entry in self.entries:
            points[entry.mount_point].append(entry)
        return points

    @cached_property
    def _children(self) -> dict[int | None, list[MountEntry]]:
        """By parent; under None what has no parent here: the root or, in a chroot, whatever lies directly in it."""
        children = defaultdict(list)
        for entry in self.entries:
            is_outermost = entry.parent_id not in self._by_id or entry.parent_id == entry.mount_id
            children[None if is_outermost else entry.parent_id].append(entry)
        return children

    @cached_property
    def _on(self) -> dict[tuple[int | None, str], MountEntry]:
        """By parent and path. Before 4.11 propagation could leave two on one directory; the later one wins."""
        return {(parent, child.mount_point): child for parent, children in self._children.items() for child in children}


def _prefixes(path: str) -> list[str]:
    """Return ``/``, ``/a``, ``/a/b`` for ``/a/b``."""
    if path == "/":
        return ["/"]
    ends = [at for at, char in enumerate(path) if char == "/" and at > 0]
    return ["/", *(path[:end] for end in ends), path]
