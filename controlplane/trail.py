"""The audit trail as operators read it: what they did and what changed in guests, in the order it was stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.authorship import split_act
from controlplane.following import follow_messages
from controlplane.stored import StoredMessage
from weft.errors import DecodeError, SubjectError
from weft.link import Link
from weft.wire.events import Event, OperatorEvent, decode_event
from weft.wire.ids import ShareId, VmId
from weft.wire.subjects import EVENTS_ALL, EVENTS_STREAM, event_vm, vm_events


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """
    One event as it is stored.

    Attributes:
        seq: Its place in the stream.
        stored_at: When the broker stored it, by its clock.
        kind: What happened, as ``share.failed`` or ``publish``.
        event: A guest's, or an operator's.
        checked: The operator's name where the broker checked it; the one that the event says is only a claim.
    """

    seq: int
    stored_at: datetime
    kind: str
    event: Event | OperatorEvent
    checked: str = ""

    def is_about(self, share_id: ShareId) -> bool:
        """Say whether it is about this share."""
        match self.event:
            case Event():
                return self.event.share == share_id
            case OperatorEvent():
                return share_id in self.event.shares or self.event.name == share_id


def build_entry(message: StoredMessage) -> TrailEntry | None:
    """Read one stored event; None for what is none, as another program may have put there."""
    try:
        vm, kind = event_vm(message.subject)
        event: Event | OperatorEvent = (
            decode_event(OperatorEvent, message.data) if vm is None else decode_event(Event, message.data)
        )
    except (DecodeError, SubjectError):
        return None
    if isinstance(event, Event) and event.vm != vm:
        return None  # the broker lets a guest write below its own name only; the text could say anything
    checked = ""
    if isinstance(event, OperatorEvent):
        checked, kind = split_act(kind, event)
    return TrailEntry(message.seq, datetime.fromtimestamp(message.stored_at_s, UTC), kind, event, checked)


async def read_trail(
    link: Link, *, vm: VmId | None = None, share_id: ShareId | None = None, since_s: float, is_endless: bool
) -> AsyncGenerator[TrailEntry, None]:
    """
    Yield events in the order they were stored.

    Args:
        link: Connected.
        vm: Only events of this guest.
        share_id: Only events about this share.
        since_s: How many seconds back to begin.
        is_endless: Whether to go on with what happens from now on.

    Raises:
        BrokerError: The stream could not be read.
    """
    subjects = EVENTS_ALL if vm is None else vm_events(vm)
    messages = follow_messages(link, EVENTS_STREAM, subjects, since_s=since_s, is_endless=is_endless)
    async for message in messages:
        entry = build_entry(message)
        if entry is not None and (share_id is None or entry.is_about(share_id)):
            yield entry
