"""What the guest knows of its own mounts: who serves them, where they stand, which spec they carry."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Annotated, Protocol

import msgspec

from weft.wire.ids import ShareId
from weft.wire.share import ShareMount


class Stage(enum.StrEnum):
    """How far a mount had come when its record was written."""

    STARTING = "starting"
    MOUNTED = "mounted"
    STOPPING = "stopping"
    DOWN = "down"
    """Was mounted, and nothing of it stands; remembered so that a repair may cover what was written there meanwhile."""


class Presence(enum.StrEnum):
    """Whether a share is mounted, as far as can be known without asking its file system."""

    MOUNTED = "mounted"
    """It stands where it should, nothing covers it, and its client lives."""
    ABSENT = "absent"
    """Nothing of it stands."""
    UNCERTAIN = "uncertain"
    """Something of it stands, but it is being changed, is covered, or has lost its client."""


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """One process, for ever: a reused pid has another start time, a rebooted guest another boot id."""

    pid: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    start_ticks: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    boot_id: str


class LiveMount(msgspec.Struct, frozen=True, kw_only=True):
    """
    One mount of ours, as the ledger keeps it.

    Attributes:
        share: The spec that is mounted (or being mounted), with credential references unresolved.
        digest: ``share_digest(share)``.
        stage: Written before each risky part, so that a killed agent's half-done work is finished or undone.
        process: The client that serves it; None for kernel mounts and before the client is started.
        boot_id: Of the boot that it belongs to; after another one only its spec and directories mean anything.
        path: The mount point as mountinfo shows it, with links in its allowed root resolved; empty as ``mount_point``.
        mount_id: The kernel's id in mountinfo, 0 before it is mounted.
        device: ``major:minor`` in mountinfo.
        root: Root within the file system, tells bind mounts apart; empty for one that was recognised without it.
        root_inode: Of the directory that a bind shows: its owner may rename it. 0 where that is not known.
        source: Source in mountinfo; ``weft:<id>:<digest8>`` where the client lets us choose.
        fs_type: Type in mountinfo.
        made_directories: Directories made for the mount point, outermost first; only these are ever removed.
        private_dir: The mount's own 0700 directory (configuration, logs, control socket).
    """

    share: ShareMount
    digest: str
    stage: Stage
    process: ProcessIdentity | None = None
    boot_id: str = ""
    path: str = ""
    mount_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    device: str = ""
    root: str = "/"
    root_inode: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    source: str = ""
    fs_type: str = ""
    made_directories: tuple[str, ...] = ()
    private_dir: str = ""

    @property
    def share_id(self) -> ShareId:
        """The share's id."""
        return self.share.share_id

    @property
    def mount_point(self) -> str:
        """Where its spec wants it."""
        return self.share.mount_point

    @property
    def real_path(self) -> str:
        """Where it stands in mountinfo."""
        return self.path or self.share.mount_point


class LiveStore(Protocol):
    """Where live mounts are remembered across the agent's life; every change is durable when the call returns."""

    def live(self) -> Iterable[LiveMount]:
        """Return every remembered mount."""
        ...

    def find_live(self, share_id: ShareId) -> LiveMount | None:
        """Return the mount of *share_id*, if one is remembered."""
        ...

    def record_live(self, mount: LiveMount) -> None:
        """Remember *mount*, replacing what its share had."""
        ...

    def forget_live(self, share_id: ShareId) -> None:
        """Forget the mount of *share_id*; unknown ids are fine."""
        ...
