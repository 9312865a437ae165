"""The part of the control plane that removes guests' events, by VM and age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from controlplane.audit import note_change
from controlplane.direct import position_at
from controlplane.jetstream import count_by_subject, purge, stream_facts
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
                "cannot remove events: these credentials may remove nothing that is stored"
                " (use an admin's: weft auth admin NAME --out FILE)"
            ) from exc
        await note_change(self._link, "events.purge", self._author(), name=" ".join(vms))
        return removed

    async def _found(self, vms: Iterable[str], older_than_s: float | None) -> AsyncIterator[tuple[str, str, int, int]]:
        """Yield stream, subjects, the first sequence to keep (0 for none) and how many messages come before it."""
        chosen = [vm_events(parse_vm_id(vm)) for vm in vms] or [EVENTS_VM_ALL]
        for stream in (GUEST_EVENTS_STREAM, EVENTS_STREAM):  # the second one has those from before there was a first
            try:
                facts = await stream_facts(self._link, stream)
            except StreamMissingError:
                continue
            for subjects in chosen:
                kept_count, before_seq = 0, 0
                if older_than_s is not None:
                    kept = await position_at(self._link, stream, subjects, facts.now_s - older_than_s)
                    kept_count, before_seq = kept.count, kept.seq or facts.last_seq + 1
                # Counted last: what comes meanwhile makes it too many, and is not removed.
                count = sum((await count_by_subject(self._link, stream, subjects)).values()) - kept_count
                if count > 0:
                    yield stream, subjects, before_seq, count
