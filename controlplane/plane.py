"""ControlPlane: everything an operator can do, as one async object over one connection."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from nats.aio.client import Client

from controlplane.catalog import Catalog
from controlplane.checkup import CheckingUp
from controlplane.commands import Commands
from controlplane.comparing import Comparing
from controlplane.connections import Connections
from controlplane.exchange import Exchange
from controlplane.forgetting import Forgetting
from controlplane.publisher import Publisher
from controlplane.purging import Purging
from controlplane.rolling import Rolling
from controlplane.roster import Roster
from controlplane.serve import Serving
from controlplane.streams import InitReport, ensure
from weft.link import Link, LinkOptions


class ControlPlane(Serving, CheckingUp, Purging, Connections, Rolling, Forgetting, Exchange, Comparing):
    """
    The operator's side over one connection; ``async with`` it.

    Args:
        connection: A client of the caller's, which stays open, or a link, which is connected and closed with this.
        roster: Where classes come from, None for the catalog.
        operator: On whose behalf changes are made; the user of the credentials is noted in any case. Without
            credentials it is who did it, and None is the user of this process.
    """

    def __init__(self, connection: Client | Link, roster: Roster | None = None, operator: str | None = None) -> None:
        link = connection if isinstance(connection, Link) else Link.over(connection)
        catalog = Catalog(link)
        publisher = Publisher(link, catalog, roster=roster, now_ms=lambda: round(catalog.now_s() * 1000))
        commands = Commands(link, catalog, publisher)
        super().__init__(link, catalog, publisher, commands, roster, operator or "")

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
            operator: On whose behalf changes are made.
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

    async def init(
        self, *, replicas: int = 1, events_age_s: float | None = None, storage_bytes: int | None = None
    ) -> InitReport:
        """
        Create, verify or upgrade streams and bucket; doing it twice is the same as once.

        Args:
            replicas: Copies in a cluster.
            events_age_s: How long events are kept; as it is, or thirty days, where not given.
            storage_bytes: What all streams may take together; as it is, or 3.5 GiB as far as there is room.

        Raises:
            NoJetStreamError: The broker has none.
            StreamSettingsError: A stream has settings that cannot be changed in place.
            StreamFullError: A stream holds more than its part, or the broker has no room for all of them.
        """
        return await ensure(self._link, replicas=replicas, events_age_s=events_age_s, storage_bytes=storage_bytes)
