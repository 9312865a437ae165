"""Events of the audit trail: what changed in a guest, and what an operator did. Small, and kept for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from weft.wire.codec import decode_object
from weft.wire.fields import Change, declare
from weft.wire.status import ShareState
from weft.wire.tolerant import Tolerant, from_builtins, to_builtins

GONE = "gone"
"""State of a share that is neither wanted nor mounted any more."""
GUEST_KINDS = (
    *(f"share.{state}" for state in ShareState),
    f"share.{GONE}",
    "agent.started",
    "message.refused",
    "events.dropped",
)
"""Every kind that a guest sends. Others are not stored: a guest that invents them would have no end of subjects."""
MAX_EVENT_BYTES = 8 * 1024
"""What one event may take with its headers: a path has at most 4 kB, a sentence about it little more."""
HEADERS_BYTES = 512
"""Of these, what headers may take: an id of at most 128 characters, a run and a number."""
_CUT_MESSAGE = 1000
"""Characters kept of a message that is too long; escaped, each takes six bytes at most."""


def _says(text: str) -> msgspec.Meta:
    return declare(text, change=Change.NONE)


class Event(Tolerant, frozen=True, kw_only=True):
    """One change in one guest; which one, the subject says."""

    vm: Annotated[str, _says("The VM's id.")]
    share: Annotated[str, _says("The share it is about; empty where it is about the guest.")] = ""
    state: Annotated[str, _says("The share's new state, as in the status, or gone.")] = ""
    code: Annotated[str, _says("Kind of failure, as in the status.")] = ""
    message: Annotated[str, _says("One sentence, without secrets.")] = ""
    revision: Annotated[int, _says("Revision of the desired state that was held.")] = 0
    at: Annotated[datetime | None, _says("When, by the guest's clock.")] = None


class FanOutCounts(Tolerant, frozen=True, kw_only=True):
    """How many VMs a fan-out ended how in."""

    stored: Annotated[int, _says("VMs whose new state was stored.")] = 0
    unchanged: Annotated[int, _says("VMs whose stored state was right already.")] = 0
    failed: Annotated[int, _says("VMs whose state was not stored.")] = 0
    unknown: Annotated[int, _says("VMs whose state may be stored.")] = 0


class OperatorEvent(Tolerant, frozen=True, kw_only=True):
    """One act of one operator."""

    who: Annotated[str, _says("Who did it.")] = ""
    action: Annotated[str, _says("What was done.")] = ""
    name: Annotated[str, _says("The share or class it was about.")] = ""
    shares: Annotated[tuple[str, ...], _says("Every share it was about.")] = ()
    vms: Annotated[FanOutCounts | None, _says("What came of it, where VMs were concerned.")] = None
    at: Annotated[datetime | None, _says("When, by the operator's clock.")] = None


T = TypeVar("T", Event, OperatorEvent)


def encode_event(event: Event | OperatorEvent) -> bytes:
    """Write an event as compact JSON; a guest's is cut to what the broker takes."""
    data = msgspec.json.encode(to_builtins(event))
    if isinstance(event, Event) and len(data) > MAX_EVENT_BYTES - HEADERS_BYTES:
        cut = msgspec.structs.replace(event, message=f"{event.message[:_CUT_MESSAGE]}…")
        data = msgspec.json.encode(to_builtins(cut))
    return data


def decode_event(kind: type[T], data: bytes) -> T:
    """
    Read an event.

    Raises:
        DecodeError: not JSON, or no such event.
    """
    return from_builtins(kind, decode_object(data, what="event"), what="event")
