"""The audit trail of operators: who changed what, for whom, and how it went."""

from __future__ import annotations

import structlog

from controlplane.edits import Author
from controlplane.jetstream import REQUEST_TIMEOUT_S
from controlplane.results import FanOut
from weft.errors import BrokerError
from weft.link import Link
from weft.wire.events import FanOutCounts, OperatorEvent, encode_event
from weft.wire.subjects import operator_event_subject

log = structlog.get_logger("weft.audit")


async def note_change(
    link: Link, action: str, author: Author, *, name: str = "", fan_out: FanOut | None = None
) -> None:
    """
    Store one event; a change is not undone because its note could not be stored, but that is said.

    Args:
        link: Connected.
        action: ``noun.verb``.
        author: Who did it.
        name: The share or class it was about.
        fan_out: What came of it, None where no VM was concerned.
    """
    counts = (
        FanOutCounts(
            stored=len(fan_out.stored),
            unchanged=len(fan_out.unchanged),
            failed=len(fan_out.failed),
            unknown=len(fan_out.unknown),
        )
        if fan_out is not None
        else None
    )
    shares = fan_out.share_ids if fan_out is not None else ()
    event = OperatorEvent(who=author.who, action=action, name=name, shares=shares, vms=counts, at=author.at)
    try:
        await link.request(
            operator_event_subject(action, author.checked), encode_event(event), timeout_s=REQUEST_TIMEOUT_S
        )
    except BrokerError as exc:
        log.warning("audit.failed", action=action, error=str(exc))
