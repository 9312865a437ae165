"""What each role may do on the broker, as one table with reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from weft.wire.subjects import (
    CATALOG_PREFIX,
    CATALOG_STREAM,
    EVENTS_OPERATOR_PREFIX,
    EVENTS_STREAM,
    EVENTS_VM_PREFIX,
    GUEST_EVENTS_STREAM,
    IMPORTED_API,
    INBOX_PREFIX,
    LIVE_PREFIX,
    MOUNTS_ALL,
    MOUNTS_PREFIX,
    MOUNTS_STREAM,
    OPERATOR_INBOX_PREFIX,
    REPEATED_CATALOG_PREFIX,
    REPEATED_EVENTS_PREFIX,
    REPEATED_STATUS_PREFIX,
    STATUS_PREFIX,
    STATUS_STREAM,
)

NAME = "{{name()}}"
"""Where the server puts the user's own name: one template serves every VM and every operator."""

API = "$JS.API."
DIRECT_GET = f"{API}DIRECT.GET.{MOUNTS_STREAM}."
"""A guest's, only with the subject appended: the form that names it in the payload could read any VM's state."""

STREAMS = (MOUNTS_STREAM, STATUS_STREAM, EVENTS_STREAM, GUEST_EVENTS_STREAM, CATALOG_STREAM)


class Role(StrEnum):
    """Who connects."""

    GUEST = "guest"
    OPERATOR = "operator"
    OBSERVER = "observer"
    ADMIN = "admin"


class Account(StrEnum):
    """Where users live: nothing passes between accounts but what ``passages_of`` lists."""

    CONTROL = "weft-control"
    GUESTS = "weft-guests"
    OPERATORS = "weft-operators"
    OBSERVERS = "weft-observers"


def account_of(role: Role) -> Account:
    """
    Say in which account users of *role* live.

    Only an admin lives with the streams: a broker checks no permission on the reply subject of a request, so whoever
    may ask anything there can have the answer land on any subject, those of JetStream's API included.
    """
    match role:
        case Role.GUEST:
            return Account.GUESTS
        case Role.OPERATOR:
            return Account.OPERATORS
        case Role.OBSERVER:
            return Account.OBSERVERS
        case Role.ADMIN:
            return Account.CONTROL
        case _:
            assert_never(role)


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
            return (*_WRITING, *_reading(IMPORTED_API), _INBOX)
        case Role.OBSERVER:
            return (*_reading(IMPORTED_API), _INBOX)
        case Role.ADMIN:
            return (*_RULING, *_WRITING, *_reading(API), _INBOX)
        case _:
            assert_never(role)


@dataclass(frozen=True, slots=True)
class Passage:
    """
    One way from an account into the one that holds the streams.

    Attributes:
        act: Publish, and be answered, or subscribe.
        subject: As it is called where the streams are; may hold wildcards.
        local: As it is called in the account that imports it.
        why: What it is needed for.
        has_many_answers: Whether one request may have more than one.
    """

    act: Act
    subject: str
    local: str
    why: str
    has_many_answers: bool = False


def passages_of(account: Account) -> tuple[Passage, ...]:
    """
    Say how *account* reaches the one that holds the streams.

    Across a passage the broker makes a reply subject of its own, so an answer goes nowhere but back into the account
    that asked, which has no stream.
    """
    match account:
        case Account.CONTROL:
            return ()
        case Account.GUESTS:
            return tuple(_passage(grant) for grant in _GUEST[:-1])
        case Account.OPERATORS:
            return tuple(_passage(grant) for grant in (*_WRITING, *_reading(IMPORTED_API)))
        case Account.OBSERVERS:
            return tuple(_passage(grant) for grant in _reading(IMPORTED_API))
        case _:
            assert_never(account)


def _passage(grant: Grant) -> Passage:
    local = grant.subject.replace(NAME, "*")
    subject = API + local.removeprefix(IMPORTED_API) if local.startswith(IMPORTED_API) else local
    return Passage(grant.act, subject, local, grant.why, subject in _MANY_ANSWERS)


def _api(prefix: str, verbs: Sequence[str], why: str) -> tuple[Grant, ...]:
    """Grant JetStream's *verbs* on weft's own streams only; ``%`` stands for the stream."""
    return tuple(
        Grant(Act.PUBLISH, f"{prefix}{verb.replace('%', stream)}", why) for verb in verbs for stream in STREAMS
    )


def _reading(prefix: str) -> tuple[Grant, ...]:
    """
    Grant reading everything of weft's.

    No consumers: the subject that one delivers to stands in the request's payload, where no permission is checked, and
    belongs to the account of the streams. Many messages are read by Direct Get.
    """
    return (
        *_api(prefix, ("STREAM.INFO.%",), "see a stream's state"),
        *_api(prefix, ("STREAM.MSG.GET.%",), "read one message"),
        *_api(prefix, ("DIRECT.GET.%",), "read many messages"),
        Grant(Act.SUBSCRIBE, f"{LIVE_PREFIX}*", "follow what is published"),
        Grant(Act.SUBSCRIBE, f"{REPEATED_STATUS_PREFIX}*", "follow reports"),
        Grant(Act.SUBSCRIBE, f"{REPEATED_EVENTS_PREFIX}>", "follow events"),
        Grant(Act.SUBSCRIBE, f"{REPEATED_CATALOG_PREFIX}>", "follow the catalog"),
    )


_GUEST = (
    Grant(Act.PUBLISH, f"{DIRECT_GET}{MOUNTS_PREFIX}{NAME}", "read its own desired state"),
    Grant(Act.SUBSCRIBE, f"{LIVE_PREFIX}{NAME}", "hear of a new one at once"),
    Grant(Act.PUBLISH, f"{STATUS_PREFIX}{NAME}", "report its status"),
    Grant(Act.PUBLISH, f"{EVENTS_VM_PREFIX}{NAME}.>", "report what changed"),
    Grant(Act.SUBSCRIBE, f"{INBOX_PREFIX}{NAME}.>", "receive answers"),
)

_WRITING = (
    Grant(Act.PUBLISH, MOUNTS_ALL, "publish desired states"),
    Grant(Act.PUBLISH, f"{CATALOG_PREFIX}>", "write the catalog"),
    Grant(Act.PUBLISH, f"{EVENTS_OPERATOR_PREFIX}{NAME}.>", "record what it did, under its own name"),
)

_RULING = (
    *_api(API, ("STREAM.CREATE.%", "STREAM.UPDATE.%"), "set up with weft init"),
    *_api(API, ("STREAM.PURGE.%",), "forget VMs, purge events"),
    *_api(API, ("STREAM.DELETE.%",), "take weft away"),
    Grant(Act.PUBLISH, f"{API}INFO", "ask what the broker offers"),
    Grant(Act.PUBLISH, f"{API}STREAM.NAMES", "find streams"),
    Grant(Act.PUBLISH, f"{API}STREAM.LIST", "find streams"),
)
"""What an admin's commands need: a guard against mistakes, and no wall, since it lives with the streams."""

_INBOX = Grant(Act.SUBSCRIBE, f"{OPERATOR_INBOX_PREFIX}{NAME}.>", "receive answers")

_MANY_ANSWERS = frozenset({
    MOUNTS_ALL,
    f"{CATALOG_PREFIX}>",
    *(f"{API}DIRECT.GET.{stream}" for stream in STREAMS),
})  # fmt: skip
"""Batches are acknowledged as they go, and read as they go."""
