"""The part of the control plane that says what is known of VMs: what they report, what happened, what serves a path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

from controlplane.classes import Classes
from controlplane.known import mentioned_vms
from controlplane.roster import CatalogRoster, ask_roster, unknown
from controlplane.routing import VmRoute, read_route
from controlplane.status import read_heard, read_wanted
from controlplane.status_watch import StatusWatch
from controlplane.trail import TrailEntry, read_trail
from controlplane.views import VmView, build_views
from weft.wire.ids import VmId, parse_share_id, parse_vm_id


class Observing(Classes):
    """Asking about VMs; nothing is changed."""

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
