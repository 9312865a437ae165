"""ControlPlane: everything an operator can do, as one async object over one connection."""

from __future__ import annotations

import asyncio
import dataclasses
import getpass
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nats.aio.client import Client

from controlplane.catalog import Catalog
from controlplane.commands import Commands, Manner
from controlplane.comparing import Comparing
from controlplane.connections import Connections
from controlplane.convergence import goals_of
from controlplane.curating import Curating
from controlplane.edits import Change, Details, build_publish, build_unpublish, parse_audience
from controlplane.exchange import Exchange
from controlplane.expiring import Expiring
from controlplane.expiry import KEPT_S
from controlplane.forgetting import Forgetting
from controlplane.known import mentioned_vms
from controlplane.projection import Members
from controlplane.publisher import Publisher
from controlplane.records import CatalogSnapshot
from controlplane.refreshing import Refreshing
from controlplane.results import FanOut, OnProgress, Outcome
from controlplane.rolling import Rolling
from controlplane.rollout import Pacing
from controlplane.roster import CatalogRoster, Roster, ask_roster, unknown
from controlplane.routing import VmRoute, read_route
from controlplane.status import read_heard, read_wanted
from controlplane.status_watch import StatusWatch
from controlplane.streams import InitReport, ensure
from controlplane.trail import TrailEntry, read_trail
from controlplane.unstored import send_unstored
from controlplane.views import VmView, build_views
from controlplane.wait import wait_for
from weft.link import Link, LinkOptions
from weft.wire.ids import VmId, parse_share_id, parse_vm_id
from weft.wire.share import ShareMount

if TYPE_CHECKING:
    from controlplane.serve import Served


class ControlPlane(Refreshing, Curating, Connections, Rolling, Expiring, Forgetting, Exchange, Comparing):
    """
    The operator's side over one connection; ``async with`` it.

    Args:
        connection: A client of the caller's, which stays open, or a link, which is connected and closed with this.
        roster: Where classes come from, None for the catalog.
        operator: Who is noted as the author of changes, None for the user of this process.
    """

    def __init__(self, connection: Client | Link, roster: Roster | None = None, operator: str | None = None) -> None:
        link = connection if isinstance(connection, Link) else Link.over(connection)
        catalog = Catalog(link)
        publisher = Publisher(link, catalog, roster=roster, now_ms=_now_ms)
        commands = Commands(link, catalog, publisher)
        super().__init__(link, catalog, publisher, commands, roster, operator or _this_user())

    @classmethod
    def connect(
        cls,
        servers: str | Sequence[str] = (),
        *,
        creds: str | Path | None = None,
        roster: Roster | None = None,
        operator: str | None = None,
        options: LinkOptions | None = None,
    ) -> Self:
        """
        Prepare a connection of its own, made on entry.

        Args:
            servers: Broker URLs; the options' own where empty.
            creds: Credentials file.
            roster: Where classes come from.
            operator: Who is noted as the author.
            options: Everything else about the connection.

        Raises:
            ConfigError: A server is no URL.
        """
        base = options or LinkOptions(name="weft")
        names = (servers,) if isinstance(servers, str) else tuple(servers)
        base = dataclasses.replace(base, servers=names or base.servers, creds=Path(creds) if creds else base.creds)
        return cls(Link(base), roster, operator)

    async def __aenter__(self) -> Self:
        await self._link.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    async def init(self, *, replicas: int = 1, events_age_s: float | None = None) -> InitReport:
        """
        Create, verify or upgrade streams and bucket; doing it twice is the same as once.

        Args:
            replicas: Copies in a cluster.
            events_age_s: How long events are kept; as it is, or thirty days, where not given.

        Raises:
            NoJetStreamError: The broker has none.
            StreamSettingsError: A stream has settings that cannot be changed in place.
        """
        return await ensure(self._link, replicas=replicas, events_age_s=events_age_s)

    # --- shares ---------------------------------------------------------------------------------------------------

    async def publish(
        self,
        shares: ShareMount | Sequence[ShareMount],
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        except_vms: Iterable[str] = (),
        only: bool = False,
        disabled: bool = False,
        owner: str = "",
        tenant: str = "",
        description: str = "",
        labels: Mapping[str, str] | None = None,
        remote: str = "",
        pacing: Pacing | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Create or replace shares, and fan them out.

        Args:
            shares: One or several, in one fan-out; ``{vm}`` in mount point, path or subdir is the VM's id.
            classes: Classes to add to the targets.
            vms: VMs to add to the targets.
            except_vms: VMs that must not get them.
            only: Replace the targets instead.
            disabled: Save, and mount nowhere.
            owner: Noted for finding; as it was where empty, like the next three.
            tenant: Noted for finding.
            description: Noted.
            labels: Noted for finding.
            remote: Remote of the catalog that completes their blocks.
            pacing: In which waves it goes out, None for everybody at once. This reaches only the first step:
                :meth:`drive_rollout`, or a watch, takes it from there.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Returns:
            What became of every VM; ``stored`` has what would be stored in a dry run.

        Raises:
            UnknownNameError: No such class.
            CatalogError: A new share without targets; a lost or older catalog; somebody must confirm.
            BrokerError: No JetStream, no stream, or the broker was lost before anything was published.
        """
        wanted = (shares,) if isinstance(shares, ShareMount) else tuple(shares)
        audience = parse_audience(classes=classes, vms=vms, except_vms=except_vms, only=only)
        details = Details(owner, tenant, description, labels, disabled, remote)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_publish(snapshot, members, wanted, audience, details, author, pacing)

        manner = Manner(dry_run, assume_yes, on_progress)
        return await self._commands.perform(
            build,
            author,
            manner,
            about=[share.share_id for share in wanted],
            classes=audience.classes,
            named=audience.vms,
        )

    async def unpublish(
        self,
        share_id: str,
        *,
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        End a share; with *classes* or *vms* only there.

        Raises:
            UnknownNameError: No such share or class.
            CatalogError, BrokerError: As :meth:`publish`.
        """
        audience = parse_audience(classes=classes, vms=vms)
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_unpublish(snapshot, members, share_id, audience, author)

        manner = Manner(assume_yes=assume_yes, on_progress=on_progress)
        return await self._commands.perform(build, author, manner, name=share_id, classes=audience.classes)

    async def sync(
        self,
        *,
        vms: Iterable[str] | None = None,
        dry_run: bool = False,
        kept_s: float = KEPT_S,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Compute every VM's list again and repair what differs, even a stream that lost everything.

        Args:
            vms: Only these.
            dry_run: Only say what would be done.
            kept_s: How long expired shares stay in the catalog, in seconds.
            assume_yes: Do not ask, even if many VMs lose something.
            on_progress: Told as messages are confirmed.

        Raises:
            CatalogError, BrokerError: As :meth:`publish`.
        """
        if vms is None and not dry_run:
            await self.drop_expired(kept_s=kept_s)
        chosen = None if vms is None else frozenset(parse_vm_id(vm) for vm in vms)
        return await self._commands.sync(chosen, self._author(), Manner(dry_run, assume_yes, on_progress))

    async def wait(
        self,
        what: FanOut | str,
        *,
        vms: Iterable[str] = (),
        classes: Iterable[str] = (),
        timeout_s: float = 60.0,
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """
        Wait until guests report what was published.

        Args:
            what: A fan-out, or the id of a share: until everybody has it.
            vms: Only these VMs.
            classes: Only members of these classes.
            timeout_s: Seconds after which whoever has not is listed.
            on_progress: Told as guests report.

        Returns:
            Who has it, who failed and why, who has not reported it; not converging is an outcome, not an error.

        Raises:
            UnknownNameError: No such share or class.
            BrokerError: The reports could not be read.
        """
        goals = goals_of(what) if isinstance(what, FanOut) else await self._goals_of_share(what)
        chosen = await self._chosen(classes, vms)
        if chosen is not None:
            goals = {vm: goal for vm, goal in goals.items() if vm in chosen}
        return await wait_for(self._link, goals, timeout_s=timeout_s, on_progress=on_progress)

    async def publish_unstored(self, share: ShareMount, vms: Iterable[str]) -> int:
        """
        Send one share to guests of a broker without JetStream; nothing is stored or confirmed.

        Returns:
            How many messages were sent.

        Raises:
            BrokerError: The broker has JetStream, so that publishing stores, or was lost.
        """
        return await send_unstored(self._link, share, [parse_vm_id(vm) for vm in vms])

    def serve(
        self,
        folder: Path | str,
        *,
        name: str = "",
        classes: Iterable[str] = (),
        vms: Iterable[str] = (),
        at: str | None = None,
        writable: bool = False,
        host: str = "",
        port: int = 0,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AbstractAsyncContextManager[Served]:
        """Serve a folder of this machine to guests; ``async with`` it. See :func:`controlplane.serve.serve_folder`."""
        from controlplane.serve import serve_folder  # nothing else needs what it loads

        return serve_folder(
            self,
            folder,
            name=name,
            classes=classes,
            vms=vms,
            at=at,
            writable=writable,
            host=host,
            port=port,
            assume_yes=assume_yes,
            on_progress=on_progress,
        )

    # --- VMs ------------------------------------------------------------------------------------------------------

    async def vms(self) -> list[VmView]:
        """List every VM that is in a class, a target of a share, has stored state, or ever reported."""
        return await self.status()

    async def status(self, vms: Iterable[str] | None = None) -> list[VmView]:
        """
        Say what guests reported, and what is stored for them.

        Args:
            vms: Only these; by default every VM that is known.

        Raises:
            UnknownNameError: Nothing is known of one of *vms*.
            BrokerError: The streams could not be read.
        """
        asked = None if vms is None else list(dict.fromkeys(parse_vm_id(vm) for vm in vms))
        # Read at the same time, the broker works while we decode.
        (heard, now_s), wanted, snapshot = await asyncio.gather(
            read_heard(self._link, asked), read_wanted(self._link, asked), self._catalog.load()
        )
        roster = self._roster or CatalogRoster(snapshot)
        classes = await ask_roster(roster, await roster.classes())
        known = {*heard, *wanted, *mentioned_vms(snapshot)}.union(*classes.values())
        for vm in asked or ():
            if vm not in known:
                raise unknown("VM", vm, known)
        return build_views(asked if asked is not None else sorted(known), heard, wanted, classes, now_s=now_s)

    def watch_status(self) -> StatusWatch:
        """
        Watch every VM; ``async with`` it, then ``wait`` for news and ask for its ``views``.

        Raises:
            BrokerError: On entry: the streams could not be read.
        """

        async def read_mentioned() -> frozenset[VmId]:
            return mentioned_vms(await self._catalog.load())

        return StatusWatch(self._link, read_classes=self.classes, read_mentioned=read_mentioned)

    def events(
        self, *, vm: str | None = None, share_id: str | None = None, since_s: float = 3600.0, follow: bool = False
    ) -> AsyncGenerator[TrailEntry, None]:
        """
        Iterate over what operators did and what changed in guests, in the order it was stored.

        Args:
            vm: Only events of this guest.
            share_id: Only events about this share.
            since_s: How many seconds back to begin.
            follow: Whether to go on with what happens from now on; a lost broker is waited for then.

        Raises:
            SubjectError: A name is no subject token.
            BrokerError: The events could not be read.
        """
        return read_trail(
            self._link,
            vm=None if vm is None else parse_vm_id(vm),
            share_id=None if share_id is None else parse_share_id(share_id),
            since_s=since_s,
            is_endless=follow,
        )

    async def route(self, vm: str, path: str) -> VmRoute:
        """
        Say which share serves *path* in a VM by its stored list, and what its last report says is there.

        Raises:
            UnknownNameError: Nothing is known of *vm*.
            DecodeError: *path* is not absolute.
            BrokerError: The streams could not be read.
        """
        (view,) = await self.status([vm])
        return await read_route(self._link, view, path)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _this_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
