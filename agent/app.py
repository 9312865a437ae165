"""The agent: every part made and wired here, and run until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import structlog

import weft
from agent.boot_file import load_boot_file
from agent.config import AgentConfig, build_link_options
from agent.control import ControlServer
from agent.credentials import CredentialResolver
from agent.desired import Accepted, Desired, Refused, accept_boot
from agent.drivers.registry import load_drivers
from agent.event_outbox import EventOutbox
from agent.events import Happening, build_changes
from agent.feed import Feed
from agent.identity import Identity
from agent.inbox import Inbox, NewState
from agent.ledger import Held, Ledger
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.liveness_watch import Rhythm
from agent.mounts.places import private_root
from agent.mounts.policy import Policy
from agent.mounts.protected import find_protected, read_homes
from agent.mounts.table import MountTableWatcher
from agent.mounts.walker import Walker
from agent.operations import Operations
from agent.programs import Programs
from agent.reconcile.live import LiveShare
from agent.reconcile.reconciler import Progress, Reconciler
from agent.reconcile.standing import Standing
from agent.report import Facts, build_report
from agent.reporter import Reporter
from agent.run_dir import RunDirLock
from agent.stored import Arrived
from agent.trial import Trial
from weft.errors import ErrorCode, MountError
from weft.link import Link
from weft.notify import Notifier
from weft.wire.events import Event
from weft.wire.ids import ShareId
from weft.wire.status import AgentInfo, ShareError, ShareState, VmStatus

log = structlog.get_logger("weft.agent")


class Agent:
    """
    One guest's agent.

    Args:
        config: What it was told.
        identity: Who the guest is.
        environ: The process's environment: service manager and credentials.

    Raises:
        ConfigError: A setting of the link makes no sense.
    """

    def __init__(self, config: AgentConfig, identity: Identity, *, environ: Mapping[str, str]) -> None:
        self._config = config
        self._identity = identity
        self._started_at = datetime.now(UTC)
        self._backends: dict[str, str | None] = {}
        self._notifier = Notifier(environ)
        self._lock = RunDirLock(config.run_dir)
        self._ledger = Ledger(config.state_dir, identity.vm, spare=private_root(config.run_dir))
        self._trial = Trial(config.state_dir)
        self._committing = asyncio.Lock()
        self._boot_problems: tuple[str, ...] = ()
        self._kept_away: frozenset[ShareId] = frozenset()
        self._walker = Walker(
            max_probes=2 * config.max_shares
        )  # one for each mount, those that are not wanted any more too
        self._table = MountTableWatcher()
        drivers = load_drivers(allow_options=frozenset(config.allow_option), allow_types=frozenset(config.allow_type))
        programs = Programs(name for driver in drivers.values() for name in driver.programs)
        credentials = CredentialResolver(environ=environ)
        views = Views(read_only=config.client_paths, writable=config.client_writable_paths)
        self._engine = MountEngine(
            drivers=drivers,
            programs=programs,
            walker=self._walker,
            table=self._table,
            policy=Policy(
                roots=config.allow,
                source_roots=config.allow_source,
                protected=find_protected(
                    programs,
                    drivers.values(),
                    directories=(config.state_dir, config.run_dir, *credentials.directories, *views.paths),
                    files=config.files,
                    import_path=sys.path[1:],
                ),
                homes=read_homes(),
            ),
            live=self._ledger,
            resolve=credentials.resolve,
            resolved=credentials.values,
            run_dir=config.run_dir,
            state_dir=config.state_dir,
            boot_id=identity.boot_id,
            on_change=self._note_loss,
            on_remark=self._note_remark,
            is_shielding=config.shield,
            views=views,
            rhythm=Rhythm(
                interval_s=config.probe_interval_s,
                deadline_s=config.probe_deadline_s,
                abort_after_s=config.abort_after_s,
            ),
        )
        self._inbox = Inbox(Desired(identity.vm), max_shares=config.max_shares)
        self._reconciler = Reconciler(
            self._inbox.desired,
            observe=self._observe,
            apply=self._engine.apply,
            check=self._engine.check,
            on_progress=self._note_progress,
        )
        self._link = Link(build_link_options(config, identity.vm, name=f"weft-agent {identity.vm}"))
        self._feed = Feed(
            self._link,
            identity.vm,
            self._take,
            may_create_stream=config.create_stream,
            read_interval_s=config.read_interval_s,
        )
        self._reporter = Reporter(self._link, identity.vm, self._report, heartbeat_s=config.heartbeat_s)
        self._outbox = EventOutbox(self._link, identity.vm, run_id=f"{time.time_ns():x}")
        self._told: Mapping[ShareId, Standing] | None = None

    async def run(self) -> None:
        """
        Work until cancelled; mounts and their clients stay as they are then.

        Raises:
            ConfigError: Another agent uses the run directory.
            LedgerTooNewError: A newer agent wrote the ledger.
        """
        self._lock.take()
        async with AsyncExitStack() as stack:
            stack.callback(self._lock.release)
            stack.push(self._trial.end)
            self._load()
            await self._walker.start()
            stack.push_async_callback(self._walker.close)
            self._table.start()
            stack.callback(self._table.close)
            await self._engine.start()
            stack.push_async_callback(self._engine.close)
            control = ControlServer(self._config.run_dir, self._operations().answer)
            await control.start()
            stack.push_async_callback(control.close)
            self._link.start()
            stack.push_async_callback(self._link.close)
            stack.callback(self._notifier.stopping)
            await self._work()

    async def _work(self) -> None:
        log.info(
            "agent.started",
            vm=self._identity.vm,
            vm_from=self._identity.taken_from,
            version=weft.__version__,
            revision=self._inbox.desired.revision,
            pid=os.getpid(),
        )
        self._outbox.put(self._happening("agent.started", message=f"weft-agent {weft.__version__}"))
        self._notifier.ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notifier.feed_watchdog(), name="weft-watchdog")
            group.create_task(self._feed.run(), name="weft-feed")
            group.create_task(self._outbox.run(), name="weft-events")
            group.create_task(self._find_versions(), name="weft-versions")
            group.create_task(self._trial.run(self._live_with_it), name="weft-trial")
            await self._adopt()
            group.create_task(self._reconciler.run(), name="weft-reconciler")
            await self._reconciler.wait_for(lambda progress: progress.is_planned)
            group.create_task(self._reporter.run(), name="weft-reporter")

    # --- what is held ---------------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Take up what the ledger and the boot file have."""
        self._ledger.make_directory()
        self._trial.start(go_back=self._ledger.go_back)
        held = self._ledger.load()
        desired = held.desired
        path = self._config.share_mounts
        boot = load_boot_file(path, max_shares=self._config.max_shares) if path else None
        if boot is not None:
            self._boot_problems = boot.problems
            limit = self._config.max_shares
            verdict = accept_boot(desired, boot.shares, is_complete=boot.is_complete, max_shares=limit)
            match verdict:
                case Accepted():
                    desired = verdict.desired
                    self._ledger.commit(Held(desired, held.held))
                case Refused(reason):
                    log.error("boot.refused", path=str(self._config.share_mounts), error=reason)
                    self._boot_problems += (reason,)
                case _:
                    pass
        self._kept_away = held.held
        self._inbox.hold(desired)
        self._reconciler.want(desired)
        self._reconciler.hold(held.held)

    async def _take(self, arrived: Arrived) -> None:
        async with self._committing:
            problem = self._inbox.problem
            new_state = self._try(arrived)
            if new_state is not None:
                await asyncio.to_thread(self._ledger.commit, Held(new_state.desired, self._kept_away))
                self._recognise()
                self._reconciler.want(new_state.desired)
        if new_state is not None or self._inbox.problem != problem:
            self._reporter.note_change()
        refusal = self._inbox.problem
        if refusal is not None and refusal != problem:
            self._outbox.put(self._happening("message.refused", code=refusal.code, message=refusal.message))

    def _try(self, arrived: Arrived) -> NewState | None:
        if self._trial.begin(arrived.data, keep_held=self._ledger.keep_before):
            return self._inbox.take(arrived, now_ms=time.time_ns() // 1_000_000)
        self._inbox.abandon(arrived)
        return None

    async def _live_with_it(self) -> None:
        await self._reconciler.wait_for(
            lambda progress: progress.is_settled and progress.desired is self._inbox.desired
        )

    async def _keep_held(self, held: frozenset[ShareId]) -> None:
        async with self._committing:
            self._kept_away = held
            await asyncio.to_thread(self._ledger.commit, Held(self._inbox.desired, held))

    # --- what is there --------------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        wanted = {share_id: entry.share for share_id, entry in self._inbox.desired.shares.items()}
        report = await self._engine.adopt(wanted)
        self._recognise()
        for share_id, error in report.failed.items():
            log.warning("mount.failed", share=share_id, step="adopt", error=str(error))

    def _recognise(self) -> None:
        self._engine.recognise({share_id: entry.share for share_id, entry in self._inbox.desired.shares.items()})

    def _observe(self) -> Mapping[ShareId, LiveShare]:
        return {
            share_id: LiveShare(mount.share, mount.digest, self._engine.presence(share_id))
            for share_id, mount in self._engine.mounted().items()
        }

    def _note_loss(self, share_id: ShareId, error: MountError | None) -> None:
        self._reconciler.ail(share_id, error)

    def _note_remark(self, share_id: ShareId, remark: MountError | None) -> None:
        self._reconciler.remark(share_id, remark)

    # --- what is said ---------------------------------------------------------------------------------------------

    def _note_progress(self, progress: Progress) -> None:
        mounted = sum(standing.state is ShareState.MOUNTED for standing in progress.standings.values())
        self._notifier.status(
            f"{mounted} of {len(progress.standings)} shares mounted, revision {self._inbox.desired.revision}"
        )
        self._reporter.note_change()
        self._outbox.put(
            *build_changes(
                self._told,
                progress.standings,
                vm=self._identity.vm,
                revision=progress.desired.revision,
                utc=datetime.now(UTC),
            )
        )
        self._told = progress.standings

    def _happening(self, kind: str, *, code: str = "", message: str = "") -> Happening:
        """Build an event about the guest as a whole."""
        revision, now = self._inbox.desired.revision, datetime.now(UTC)
        return Happening(kind, Event(vm=self._identity.vm, code=code, message=message, revision=revision, at=now))

    async def _find_versions(self) -> None:
        self._backends = await self._engine.versions()
        self._reporter.note_change()

    def _report(self) -> VmStatus:
        progress = self._reconciler.progress
        return build_report(
            Facts(
                identity=self._identity,
                agent=AgentInfo(version=weft.__version__, started_at=self._started_at, backends=self._backends),
                heartbeat_s=self._config.heartbeat_s,
                mode=self._feed.mode,
                desired=progress.desired,
                revision_seen=self._inbox.revision_seen,
                problem=self._problem(),
                remarks=(*self._ledger.set_aside, *self._trial.set_aside, *self._boot_problems),
                standings=progress.standings,
                since=progress.since,
                now_s=time.monotonic(),
                utc=datetime.now(UTC),
            )
        )

    def _problem(self) -> ShareError | None:
        """Say what is wrong with the guest as a whole: the newest message first, then the link, then the disk."""
        if self._inbox.problem is not None:
            return self._inbox.problem
        if self._feed.problem is not None:
            return ShareError(code=ErrorCode.UNREACHABLE, message=self._feed.problem)
        if self._ledger.problem is not None:
            return ShareError(code=ErrorCode.NO_SPACE, message=self._ledger.problem)
        return None

    def _operations(self) -> Operations:
        return Operations(
            reconciler=self._reconciler,
            feed=self._feed,
            desired=lambda: self._inbox.desired,
            report=self._report,
            keep_held=self._keep_held,
            forgive=self._trial.forgive,
        )
