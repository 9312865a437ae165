"""The audit trail as operators read it: what they did and what changed in guests, in the order it was stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.authorship import split_act
from controlplane.following import follow_messages
from controlplane.merging import in_order
from controlplane.stored import StoredMessage
from weft.errors import DecodeError, StreamMissingError, SubjectError
from weft.link import Link
from weft.wire.events import MAX_EVENT_BYTES, Event, OperatorEvent, decode_event
from weft.wire.ids import ShareId, VmId
from weft.wire.subjects import EVENTS_ALL, EVENTS_STREAM, GUEST_EVENTS_STREAM, event_vm, vm_events


@dataclass(frozen=True, slots=True)
class TrailEntry:
    """
    One event as it is stored.

    Attributes:
        stream: The stream that holds it: operators' acts have one, guests' events another.
        seq: Its place in that stream.
        stored_at: When the broker stored it, by its clock.
        kind: What happened, as ``share.failed`` or ``publish``.
        event: A guest's, or an operator's.
        checked: The operator's name where the broker checked it; the one that the event says is only a claim.
    """

    stream: str
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


def build_entry(stream: str, message: StoredMessage) -> TrailEntry | None:
    """
    Read one stored event of *stream*; None for what is none, as another program may have put there.

    A guest's that is larger than any agent writes, from before the stream refused it, is said and not shown.
    """
    try:
        vm, kind = event_vm(message.subject)
        if vm is not None and len(message.data) > MAX_EVENT_BYTES:
            return _too_large(stream, message, vm, kind)
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
    return TrailEntry(stream, message.seq, datetime.fromtimestamp(message.stored_at_s, UTC), kind, event, checked)


def _too_large(stream: str, message: StoredMessage, vm: VmId, kind: str) -> TrailEntry:
    text = f"an event of {len(message.data)} bytes is not shown: an agent writes {MAX_EVENT_BYTES} at most"
    stored_at = datetime.fromtimestamp(message.stored_at_s, UTC)
    return TrailEntry(stream, message.seq, stored_at, kind, Event(vm=vm, message=text))


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

    async def one(stream: str) -> AsyncGenerator[Stored, None]:
        messages = follow_messages(link, stream, subjects, since_s=since_s, is_endless=is_endless)
        try:
            async for message in messages:
                yield Stored(stream, message)
        except StreamMissingError:
            if stream == EVENTS_STREAM:
                raise  # the other one is younger: before 'weft init' has made it, guests' events are all in this one

    sources = [one(EVENTS_STREAM), one(GUEST_EVENTS_STREAM)]
    async for stored in in_order(sources, key=Stored.moment, is_endless=is_endless):
        entry = build_entry(stored.stream, stored.message)
        if entry is not None and (share_id is None or entry.is_about(share_id)):
            yield entry


@dataclass(frozen=True, slots=True)
class Stored:
    """A message, and the stream that holds it."""

    stream: str
    message: StoredMessage

    def moment(self) -> float:
        """Return when it was stored."""
        return self.message.stored_at_s
