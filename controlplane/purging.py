"""The part of the control plane that removes guests' events, by VM and age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from controlplane.audit import note_change
from controlplane.jetstream import position_at, purge, stream_facts
from controlplane.observing import Observing
from weft.errors import BrokerDeniedError, StreamMissingError
from weft.wire.ids import parse_vm_id
from weft.wire.subjects import EVENTS_STREAM, EVENTS_VM_ALL, GUEST_EVENTS_STREAM, vm_events


class Purging(Observing):
    """Removing events that guests sent; what operators did stays as long as it was to be kept."""

    async def count_events(self, vms: Iterable[str] = (), *, older_than_s: float | None = None) -> int:
        """
        Count what :meth:`purge_events` would remove; nothing is removed.

        Raises:
            BrokerError: The events could not be read.
        """
        return sum([count async for _, _, _, count in self._found(vms, older_than_s)])

    async def purge_events(self, vms: Iterable[str] = (), *, older_than_s: float | None = None) -> int:
        """
        Remove guests' events for good.

        Args:
            vms: Only what these sent; by default what any guest sent.
            older_than_s: Only what was stored longer ago, by the broker's clock.

        Returns:
            How many were removed.

        Raises:
            BrokerDeniedError: These credentials may not.
            BrokerError: The broker refused, or was lost; doing it again finishes it.
        """
        removed = 0
        try:
            async for stream, subjects, before_seq, _ in self._found(vms, older_than_s):
                removed += await purge(self._link, stream, subjects, before_seq=before_seq)
        except BrokerDeniedError as exc:
            raise BrokerDeniedError(
                f"cannot remove events: these credentials may not ({exc}; weft auth show says what each role may do)"
            ) from exc
        await note_change(self._link, "events.purge", self._author(), name=" ".join(vms))
        return removed

    async def _found(self, vms: Iterable[str], older_than_s: float | None) -> AsyncIterator[tuple[str, str, int, int]]:
        """Yield stream, subjects, the first sequence to keep (0 for none) and how many messages come before it."""
        chosen = [vm_events(parse_vm_id(vm)) for vm in vms] or [EVENTS_VM_ALL]
        for stream in (GUEST_EVENTS_STREAM, EVENTS_STREAM):  # the second one has those from before there was a first
            try:
                now_s = (await stream_facts(self._link, stream)).now_s
            except StreamMissingError:
                continue
            for subjects in chosen:
                count = (await position_at(self._link, stream, subjects, None)).count
                before_seq = 0
                if older_than_s is not None:
                    kept = await position_at(self._link, stream, subjects, now_s - older_than_s)
                    count, before_seq = count - kept.count, kept.seq
                if count:
                    yield stream, subjects, before_seq, count
