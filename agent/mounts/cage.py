"""What a FUSE client sees of the guest: decided here, made by ``cage_calls`` in the process that becomes the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.drivers.base import MountCommand
from agent.mounts.places import TMP_NAME
from weft.wire.paths import is_below

_CAPABILITIES: Final = {"CAP_DAC_OVERRIDE": 1, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_RESOURCE": 24}
"""Numbers of what a driver may ask for; CAP_SYS_ADMIN, with which a client mounts, every client has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """
    What the guest's administrator lets every client see besides.

    Attributes:
        read_only: Absolute paths: libraries, certificates.
        writable: Absolute paths: a cache that clients share.
    """

    read_only: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them: what clients depend on, no share may cover or show."""
        return tuple(map(Path, (*self.read_only, *self.writable)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """
    What one client sees; every path is the same inside and outside, but for ``/etc``, ``/tmp`` and a source's links.

    Attributes:
        private_dir: The mount's own directory.
        cache_dir: The share's own cache.
        tmp_dir: What it sees as ``/tmp``, on disk.
        etc: What it sees as ``/etc``.
        programs: What it runs, wherever links lead from there.
        read_only: What it may read and run.
        writable: What it may change.
        sources: The guest's own directories that the share shows: as it names them → where they are, reached over no
            symbolic link.
        is_read_only: Whether the sources may not be changed.
        has_proc: Whether it sees ``/proc``, read-only.
        capabilities: Numbers of those it keeps besides CAP_SYS_ADMIN.
        may_listen: Whether it may accept connections.
    """

    private_dir: str
    cache_dir: str
    tmp_dir: str
    etc: str
    programs: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    is_read_only: bool = False
    has_proc: bool = True
    capabilities: tuple[int, ...] = ()
    may_listen: bool = True

    def encode(self) -> dict[str, Any]:
        """Return plain values, which travel to another process."""
        return asdict(self)


def build_cage(
    command: MountCommand,
    *,
    programs: tuple[str, ...],
    private_dir: str,
    cache_dir: str,
    etc: str,
    sources: Mapping[str, str],
    is_read_only: bool,
    views: Views,
) -> Cage:
    """
    Decide what the client of *command* sees; pure.

    Args:
        command: How it is started.
        programs: Absolute paths of what it runs.
        private_dir: The mount's own directory.
        cache_dir: The share's own cache.
        etc: Holds what clients see as ``/etc``.
        sources: The guest's own directories that the share shows.
        is_read_only: Whether the share is.
        views: What every client of this guest may see.
    """
    return Cage(
        private_dir=private_dir,
        cache_dir=cache_dir,
        tmp_dir=f"{cache_dir}/{TMP_NAME}",
        etc=etc,
        programs=tuple(sorted({command.argv[0], *programs})),
        read_only=views.read_only,
        writable=views.writable,
        sources={
            named: resolved
            for named, resolved in sources.items()
            if not any(is_below(named, other) for other in sources)  # it shows in that one
        },
        is_read_only=is_read_only,
        has_proc=command.needs_proc,
        capabilities=tuple(sorted(_CAPABILITIES[name] for name in command.capabilities)),
        may_listen=command.may_listen,
    )
