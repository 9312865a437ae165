"""The part of the control plane that lets go of shares that are over."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from controlplane.commands import Build, Manner
from controlplane.expiry import KEPT_S, build_drop_expired, next_drop
from controlplane.part import Part
from controlplane.results import FanOut, OnProgress


class Expiring(Part):
    """Dropping shares whose time has come."""

    async def drop_expired(self, *, kept_s: float = KEPT_S, on_progress: OnProgress | None = None) -> FanOut | None:
        """
        Drop the shares that expired more than *kept_s* seconds ago; guests unmounted them by their own clocks.

        Returns:
            What became of every VM that had one, None where there was nothing to drop.

        Raises:
            CatalogError, BrokerError: As ``publish``.
        """
        due = next_drop(await self._catalog.load(), kept_s=kept_s)
        now = datetime.fromtimestamp(self._catalog.now_s(), UTC)
        if due is None or due > now:
            return None
        build: Build = partial(build_drop_expired, now=now, kept_s=kept_s)
        return await self._commands.perform(build, self._author(), Manner(on_progress=on_progress))

    async def next_drop(self, *, kept_s: float = KEPT_S) -> datetime | None:
        """Say when the first share may be dropped, None where none expires; raises as :meth:`drop_expired`."""
        due = next_drop(await self._catalog.load(), kept_s=kept_s)
        return due.astimezone(UTC) if due is not None else None
