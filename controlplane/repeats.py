"""What the broker repeats after it was stored: where to hear it, and whether it is what it seems. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.wire.subjects import (
    CATALOG_PREFIX,
    CATALOG_STREAM,
    EVENTS_PREFIX,
    EVENTS_STREAM,
    GUEST_EVENTS_STREAM,
    LIVE_PREFIX,
    MOUNTS_PREFIX,
    MOUNTS_STREAM,
    REPEATED_CATALOG_PREFIX,
    REPEATED_EVENTS_PREFIX,
    REPEATED_STATUS_PREFIX,
    STATUS_PREFIX,
    STATUS_STREAM,
)

_REPEATED = (
    (REPEATED_STATUS_PREFIX, STATUS_PREFIX, {STATUS_STREAM}),
    (REPEATED_EVENTS_PREFIX, EVENTS_PREFIX, {EVENTS_STREAM, GUEST_EVENTS_STREAM}),
    (REPEATED_CATALOG_PREFIX, CATALOG_PREFIX, {CATALOG_STREAM}),
    (LIVE_PREFIX, MOUNTS_PREFIX, {MOUNTS_STREAM}),
)

_COPY = ["Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Last-Sequence"]
"""The headers that a server adds to what it repeats, in its order (2.15); a copy without its body has one more."""
_BODY_SIZE = "Nats-Msg-Size"


def heard_on(config: Mapping[str, Any], subjects: str) -> str:
    """
    Name the subject on which to hear what is stored on *subjects*.

    Args:
        config: The stream's settings; one that repeats nothing yet is heard as its messages are sent.
        subjects: Of the stream; may hold wildcards.
    """
    if config.get("republish"):
        for repeated, own, _ in _REPEATED:
            if subjects.startswith(own):
                return repeated + subjects.removeprefix(own)
    return subjects


def stored_subject(subject: str, headers: Mapping[str, str] | None) -> str | None:
    """
    Name the stream's subject that a message heard on *subject* was stored on, or was sent on where nothing is repeated.

    None for what no stream repeated: in its own account anybody can have an answer of JetStream's come out on any
    subject. Such an answer names another subject, or does not end as a copy does; what its message was stored with,
    which may be anything, stands before what the broker adds.
    """
    for repeated, own, streams in _REPEATED:
        if subject.startswith(repeated):
            stored, said = own + subject.removeprefix(repeated), headers or {}
            is_copy = said.get("Nats-Stream") in streams and said.get("Nats-Subject") == stored
            names = list(said)
            if names and names[-1] == _BODY_SIZE:
                names.pop()
            return stored if is_copy and names[-len(_COPY) :] == _COPY else None
    return subject
