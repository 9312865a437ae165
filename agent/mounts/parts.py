"""What the engine's stories work with, wired once: drivers, programs, kernel views, memory, places and limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from agent.actual import LiveMount, LiveStore, Stage
from agent.drivers.base import Driver, MountContext
from agent.mounts import places
from agent.mounts.cage import Views
from agent.mounts.cage_calls import INSIDE
from agent.mounts.mountinfo import MountEntry
from agent.mounts.ownership import belongs_to
from agent.mounts.policy import Policy
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from weft.errors import ErrorCode, MountError
from weft.wire.ids import ShareId
from weft.wire.redact import redact_text
from weft.wire.share import ShareMount, share_secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Longest waits, in seconds.

    Attributes:
        check_s: For what a driver can find out before anything is mounted.
        live_s: For a change that a running client takes.
        drain_s: For uploads to be stored before an unmount.
        sick_drain_s: The same where the client's mount hangs, so that its backend is most likely away.
        busy_s: For holders to let go before a lazy detach.
        probe_s: For a parent to answer before its subtree is detached as hung.
        exit_s: For a client to end by itself after its unmount; it takes milliseconds.
        linger_s: The same while holders of a lazily detached mount may still finish writing.
        signal_s: For a client to end after SIGTERM, and again after SIGKILL.
        take_over_s: For a finished mount to be moved to its mount point, which takes milliseconds.
    """

    check_s: float = 5.0
    live_s: float = 10.0
    drain_s: float = 20.0
    sick_drain_s: float = 3.0
    busy_s: float = 5.0
    probe_s: float = 2.0
    exit_s: float = 5.0
    linger_s: float = 10.0
    signal_s: float = 3.0
    take_over_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that bring-up, take-down and adoption need; see :class:`agent.mounts.engine.MountEngine`."""

    drivers: Mapping[str, Driver]
    programs: Mapping[str, Path]
    walker: Walker
    table: MountTableWatcher
    policy: Policy
    live: LiveStore
    resolve: Callable[[ShareMount], ShareMount]
    resolved: Callable[[], Iterable[str]] = tuple
    run_dir: Path
    state_dir: Path
    boot_id: str
    limits: Limits = field(default_factory=Limits)
    views: Views = field(default_factory=Views)
    is_shielding: bool = False
    remark: Callable[[ShareId, MountError | None], None] = lambda share_id, remark: None

    def find_driver(self, share: ShareMount) -> Driver:
        """
        Return the driver of *share*.

        Raises:
            MountError: this guest has none for its backend.
        """
        driver = self.drivers.get(share.backend_name)
        if driver is None:
            known = ", ".join(sorted(self.drivers))
            raise MountError(
                f"cannot mount share {share.id!r}: this guest has no driver {share.backend_name!r} (it has {known})",
                code=ErrorCode.BAD_SPEC,
            )
        return driver

    def context(self, share: ShareMount, *, source: str) -> MountContext:
        """
        Build what a driver may look at.

        Args:
            share: The spec; resolved, where the driver is to start or change something.
            source: What mountinfo is to show as its source.
        """
        return MountContext(
            share=msgspec.structs.replace(share, mount_point=INSIDE),
            source=source,
            private_dir=places.private_dir(self.run_dir, share.share_id),
            cache_dir=places.cache_dir(self.state_dir, share),
            programs=self.programs,
        )

    def is_ours(self, entry: MountEntry) -> bool:
        """Say whether *entry* is a mount of any share of ours."""
        return any(belongs_to(entry, live, boot_id=self.boot_id) for live in self.live.live())

    def made_directories(self) -> frozenset[str]:
        """Return every directory that was made for a mount point."""
        return frozenset(path for live in self.live.live() for path in live.made_directories)

    def record(self, live: LiveMount) -> LiveMount:
        """Remember *live* and return it."""
        self.live.record_live(live)
        return live

    def forget_if_down(self, share_id: ShareId) -> None:
        """Forget a share of which nothing stands."""
        live = self.live.find_live(share_id)
        if live is not None and live.stage is Stage.DOWN:
            self.live.forget_live(share_id)

    def tell_output(self, live: LiveMount, *, since: int | None = None) -> str:
        """
        Read the last lines of a client's output, redacted; empty where its secrets cannot be known any more.

        Args:
            live: Its record.
            since: Only what it printed after so many bytes; None also takes the files it logs to.
        """
        try:
            driver = self.find_driver(live.share)
            resolved = self.resolve(live.share)
            command = driver.build(self.context(resolved, source=live.source))
        except MountError:
            return ""
        directory = Path(live.private_dir)
        printed = places.read_output(directory, command.log_files)
        text = printed if since is None else places.read_output_since(directory, since)
        return redact_text(text, share_secrets(resolved) | command.secrets, certain=self.resolved())

    def redact(self, exc: BaseException, *shares: ShareMount | None) -> None:
        """Take every secret of *shares*, and every value that a credential had, out of *exc* and what it comes from."""
        secrets = frozenset(secret for share in shares if share is not None for secret in share_secrets(share))
        certain = tuple(self.resolved())

        def clean(text: str) -> str:
            return redact_text(text, secrets, certain=certain)

        seen: set[int] = set()
        link: BaseException | None = exc
        while link is not None and id(link) not in seen:
            seen.add(id(link))
            link.args = tuple(clean(each) if isinstance(each, str) else each for each in link.args)
            if isinstance(link, MountError):
                link.message, link.detail = clean(link.message), clean(link.detail)
            link = link.__cause__ or link.__context__
