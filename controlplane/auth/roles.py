"""What each role may do on the broker, as one table with reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from weft.wire.subjects import (
    CATALOG_BUCKET,
    CATALOG_STREAM,
    EVENTS_OPERATOR_ALL,
    EVENTS_STREAM,
    EVENTS_VM_ALL,
    GUEST_EVENTS_STREAM,
    INBOX_PREFIX,
    LIVE_PREFIX,
    MOUNTS_ALL,
    MOUNTS_PREFIX,
    MOUNTS_STREAM,
    STATUS_ALL,
    STATUS_PREFIX,
    STATUS_STREAM,
)

NAME = "{{name()}}"
"""Where the server puts the user's own name: one template serves every VM."""

DIRECT_GET = f"$JS.API.DIRECT.GET.{MOUNTS_STREAM}."
"""Only with the subject appended: the form that names it in the payload could read any VM's state."""

STREAMS = (MOUNTS_STREAM, STATUS_STREAM, EVENTS_STREAM, GUEST_EVENTS_STREAM, CATALOG_STREAM)


class Role(StrEnum):
    """Who connects."""

    GUEST = "guest"
    OPERATOR = "operator"
    OBSERVER = "observer"


class Account(StrEnum):
    """Where users live: nothing passes between accounts but what ``PASSAGES`` lists."""

    CONTROL = "weft-control"
    GUESTS = "weft-guests"


def account_of(role: Role) -> Account:
    """Say in which account users of *role* live."""
    return Account.GUESTS if role is Role.GUEST else Account.CONTROL


class Act(StrEnum):
    """What a grant allows."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"


@dataclass(frozen=True, slots=True)
class Grant:
    """
    One thing a role may do.

    Attributes:
        act: Publish or subscribe.
        subject: Where; may hold wildcards and the user's name.
        why: What it is needed for.
    """

    act: Act
    subject: str
    why: str


def grants_of(role: Role) -> tuple[Grant, ...]:
    """List what *role* may do; everything else is refused by the broker."""
    match role:
        case Role.GUEST:
            return _GUEST
        case Role.OPERATOR:
            return (*_WRITING, *_READING)
        case Role.OBSERVER:
            return _READING


_GUEST = (
    Grant(Act.PUBLISH, f"{DIRECT_GET}{MOUNTS_PREFIX}{NAME}", "read its own desired state"),
    Grant(Act.SUBSCRIBE, f"{LIVE_PREFIX}{NAME}", "hear of a new one at once"),
    Grant(Act.PUBLISH, f"{STATUS_PREFIX}{NAME}", "report its status"),
    Grant(Act.PUBLISH, f"weft.events.vm.{NAME}.>", "report what changed"),
    Grant(Act.SUBSCRIBE, f"{INBOX_PREFIX}{NAME}.>", "receive answers"),
)


def _api(verbs: Sequence[str], why: str) -> tuple[Grant, ...]:
    """Grant JetStream's *verbs* on weft's own streams only; ``%`` stands for the stream."""
    return tuple(
        Grant(Act.PUBLISH, f"$JS.API.{verb.replace('%', stream)}", why) for verb in verbs for stream in STREAMS
    )


_WRITING = (
    Grant(Act.PUBLISH, MOUNTS_ALL, "publish desired states"),
    Grant(Act.PUBLISH, f"$KV.{CATALOG_BUCKET}.>", "write the catalog"),
    Grant(Act.PUBLISH, EVENTS_OPERATOR_ALL, "record who did what"),
    *_api(("STREAM.CREATE.%", "STREAM.UPDATE.%"), "set up with weft init"),
    *_api(("STREAM.PURGE.%",), "forget a VM"),
    Grant(Act.PUBLISH, "$JS.API.INFO", "ask what the broker offers"),
    Grant(Act.PUBLISH, "$JS.API.STREAM.NAMES", "find streams"),
    Grant(Act.PUBLISH, "$JS.API.STREAM.LIST", "find streams"),
)

_READING = (
    *_api(("STREAM.INFO.%",), "see a stream's state"),
    *_api(("STREAM.MSG.GET.%", "DIRECT.GET.%.>"), "read one message"),
    *_api(("CONSUMER.CREATE.%.>", "CONSUMER.INFO.%.*", "CONSUMER.DELETE.%.*"), "read many messages"),
    Grant(Act.PUBLISH, "$JS.FC.>", "read many messages"),
    Grant(Act.SUBSCRIBE, f"{LIVE_PREFIX}*", "follow what is published"),
    Grant(Act.SUBSCRIBE, STATUS_ALL, "follow reports"),
    Grant(Act.SUBSCRIBE, "weft.events.>", "follow events"),
    Grant(Act.SUBSCRIBE, "_INBOX.>", "receive answers"),
)

PASSAGES = (
    Grant(Act.PUBLISH, f"{DIRECT_GET}{MOUNTS_ALL}", "read a desired state"),
    Grant(Act.SUBSCRIBE, f"{LIVE_PREFIX}*", "hear of a new one at once"),
    Grant(Act.PUBLISH, STATUS_ALL, "report status"),
    Grant(Act.PUBLISH, EVENTS_VM_ALL, "report what changed"),
)
"""
How the guests' account reaches the operators'; the subjects are the same on both sides.

A broker checks no permission on the reply subject of a request: in one account, a guest could have the answer to its
own Direct Get land on another VM's desired state. Across a passage the broker makes a reply subject of its own, so an
answer goes nowhere but back into the guests' account, which has no stream.
"""
