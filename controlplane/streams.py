"""The streams and the bucket that weft lives in: their settings as one table, and making a broker agree with it."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.identity import IDENTITY_KEY, Identity, encode_identity
from controlplane.jetstream import NO_ROOM, SUBJECTS_OVERLAP, WRONG_LAST_SEQUENCE, ApiError, ask, no_jetstream
from weft.errors import StreamFullError, StreamMissingError, StreamSettingsError
from weft.link import Link
from weft.wire.events import GUEST_KINDS, MAX_EVENT_BYTES
from weft.wire.status import MAX_STATUS_BYTES
from weft.wire.subjects import (
    CATALOG_BUCKET,
    CATALOG_PREFIX,
    CATALOG_STREAM,
    EVENTS_OPERATOR_ALL,
    EVENTS_STREAM,
    EVENTS_VM_ALL,
    EVENTS_VM_PREFIX,
    GUEST_EVENTS_STREAM,
    LIVE_TEMPLATE,
    MOUNTS_ALL,
    MOUNTS_STREAM,
    REPEATED_CATALOG_PREFIX,
    REPEATED_EVENTS_PREFIX,
    REPEATED_STATUS_PREFIX,
    STATUS_ALL,
    STATUS_STREAM,
)

MAX_CONSUMERS = 100_000
"""Explicit, because a server falls back to 1000 without it; weft itself needs a few at a time."""
EVENTS_MAX_AGE_NS = 30 * 86_400 * 10**9
STATUS_MESSAGES = 3
"""Per VM: enough to see two boot ids taking turns (A, B, A), which no reboot does."""
CATALOG_HISTORY = 64
"""Editions kept of each entry, the most a KV bucket offers."""
GUEST_EVENTS_OF_A_KIND = 200
"""Kept per VM and kind of event: with sixteen kinds one guest takes at most a fortieth of the stream."""
DEDUPLICATED_NS = 10 * 10**9
"""How long ids of events are remembered: an agent that got no answer sends again after five seconds."""
SHORTEST_NS = 10**8
"""The shortest such time that a broker takes, where no message has an id."""
MIB = 1 << 20
GIB = 1 << 30
FULL_STORAGE_BYTES = 3 * GIB + GIB // 2
"""What all streams may take together: ten thousand VMs with a hundred shares each."""
LEAST_STORAGE_BYTES = FULL_STORAGE_BYTES // 16
"""Below this a single guest could fill a good part of a stream."""
FAST_INGEST_SINCE = (2, 14)
"""First server version with ``allow_batched``; older ones ignore the field."""

_FIXED = ("storage", "retention", "subjects")
"""What makes a stream another stream: never changed under somebody's data, even where the broker would."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """
    What one stream must look like.

    Attributes:
        name: What operators call it.
        stream: The stream's own name.
        wanted: Settings by the API's names; what is not listed is left as it is.
        adjustable: Settings that stay as they are where they have a limit at all: an operator chose it.
        former_subjects: Subjects that an earlier weft gave it, which may be changed in place.
    """

    name: str
    stream: str
    wanted: Mapping[str, Any]
    adjustable: frozenset[str] = frozenset({"max_bytes"})
    former_subjects: tuple[str, ...] = ()


_NEVER: Mapping[str, Any] = {
    "allow_rollup_hdrs": False,
    "allow_msg_ttl": False,
    "allow_msg_schedules": False,
    "allow_msg_counter": False,
    "allow_atomic": False,
}
"""What a header of a message could ask for: to purge the stream, to end early, to be sent on to another subject."""

_COMMON: Mapping[str, Any] = {
    "retention": "limits",
    "storage": "file",
    "allow_direct": True,
    "max_consumers": MAX_CONSUMERS,
}

_FROM_GUESTS: Mapping[str, Any] = {
    **_COMMON,
    **_NEVER,
    # No answer: an acknowledgement or a refusal tells a guest how many messages others have sent, and their ids.
    "no_ack": True,
    "allow_batched": False,
    "discard": "old",
}
"""
Streams that guests write to evict their own oldest: a guest says again within a heartbeat what it has, and a stream
that refused would show living guests as silent.
"""

STREAMS = (
    StreamSpec(
        MOUNTS_STREAM,
        MOUNTS_STREAM,
        {
            **_COMMON,
            "subjects": [MOUNTS_ALL],
            "max_msgs_per_subject": 1,
            "max_bytes": GIB,  # 10,000 VMs with a hundred shares of 1 kB
            "discard": "new",
            "allow_batched": True,
            "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
        },
    ),
    StreamSpec(
        STATUS_STREAM,
        STATUS_STREAM,
        {
            **_FROM_GUESTS,
            "subjects": [STATUS_ALL],
            "max_msgs_per_subject": STATUS_MESSAGES,
            "max_bytes": 768 * MIB,  # 10,000 VMs, three reports each, of a hundred shares with 250 bytes
            "max_msg_size": MAX_STATUS_BYTES,
            "duplicate_window": SHORTEST_NS,
            "republish": {"src": STATUS_ALL, "dest": REPEATED_STATUS_PREFIX + "{{wildcard(1)}}"},
        },
    ),
    # Before the stream of guests' events, which an earlier weft kept here.
    StreamSpec(
        EVENTS_STREAM,
        EVENTS_STREAM,
        {
            **_COMMON,
            "subjects": [EVENTS_OPERATOR_ALL],
            "max_bytes": 256 * MIB,  # 500,000 acts
            "discard": "old",
            "max_age": EVENTS_MAX_AGE_NS,
            "republish": {
                "src": EVENTS_OPERATOR_ALL,
                "dest": REPEATED_EVENTS_PREFIX + "op.>",
                "headers_only": True,
            },
        },
        adjustable=frozenset({"max_bytes", "max_age"}),
        former_subjects=(EVENTS_VM_ALL, EVENTS_OPERATOR_ALL),
    ),
    StreamSpec(
        GUEST_EVENTS_STREAM,
        GUEST_EVENTS_STREAM,
        {
            **_FROM_GUESTS,
            "subjects": [f"{EVENTS_VM_PREFIX}*.{kind}" for kind in GUEST_KINDS],
            "max_msgs_per_subject": GUEST_EVENTS_OF_A_KIND,
            "max_bytes": GIB,  # 250 events of 400 bytes for each of 10,000 VMs
            "max_msg_size": MAX_EVENT_BYTES,
            "max_age": EVENTS_MAX_AGE_NS,
            "duplicate_window": DEDUPLICATED_NS,
            "republish": {
                "src": EVENTS_VM_PREFIX + ">",
                "dest": REPEATED_EVENTS_PREFIX + "vm.>",
                "headers_only": True,
            },
        },
        adjustable=frozenset({"max_bytes", "max_age", "max_msgs_per_subject"}),
    ),
    StreamSpec(
        CATALOG_BUCKET,
        CATALOG_STREAM,
        {
            **_COMMON,
            "subjects": [CATALOG_PREFIX + ">"],
            "max_msgs_per_subject": CATALOG_HISTORY,
            "max_bytes": 512 * MIB,  # the last 64 editions of 1,000 shares with 4 kB, and 250 MB for members
            "discard": "new",
            "allow_rollup_hdrs": False,
            "deny_delete": True,
            "allow_batched": True,
            "republish": {"src": CATALOG_PREFIX + ">", "dest": REPEATED_CATALOG_PREFIX + ">", "headers_only": True},
        },
    ),
)


@dataclass(frozen=True, slots=True)
class InitReport:
    """Which streams were made, which brought up to date, and which were already right."""

    created: tuple[str, ...] = ()
    upgraded: tuple[str, ...] = ()
    verified: tuple[str, ...] = ()


def wanted_settings(spec: StreamSpec, *, server_version: str) -> dict[str, Any]:
    """Return *spec*'s settings as a server of this version can have them."""
    wanted = dict(spec.wanted)
    if not has_fast_ingest(server_version):
        wanted.pop("allow_batched", None)
    return wanted


def has_fast_ingest(server_version: str) -> bool:
    """Say whether a server of this version knows fast-ingest batches."""
    found = re.match(r"(\d+)\.(\d+)", server_version)
    return found is not None and (int(found[1]), int(found[2])) >= FAST_INGEST_SINCE


def with_events_age(spec: StreamSpec, events_age_s: float | None) -> StreamSpec:
    """Return *spec* with the age that an operator chose for events; only their streams have one."""
    if events_age_s is None or "max_age" not in spec.wanted:
        return spec
    wanted = {**spec.wanted, "max_age": round(events_age_s * 1e9)}
    return dataclasses.replace(spec, wanted=wanted, adjustable=spec.adjustable - {"max_age"})


def with_storage(spec: StreamSpec, storage_bytes: int, *, is_chosen: bool) -> StreamSpec:
    """
    Return *spec* with its part of *storage_bytes*, which all streams take together.

    Args:
        spec: As for :data:`FULL_STORAGE_BYTES`.
        storage_bytes: What there is.
        is_chosen: Whether it replaces limits that are there already.
    """
    wanted = {**spec.wanted, "max_bytes": spec.wanted["max_bytes"] * storage_bytes // FULL_STORAGE_BYTES}
    if spec.stream == GUEST_EVENTS_STREAM:
        # What one guest may take stays the same part of the stream.
        wanted["max_msgs_per_subject"] = max(1, GUEST_EVENTS_OF_A_KIND * storage_bytes // FULL_STORAGE_BYTES)
    kept = spec.adjustable - {"max_bytes", "max_msgs_per_subject"} if is_chosen else spec.adjustable
    return dataclasses.replace(spec, wanted=wanted, adjustable=kept)


def differing_settings(
    have: Mapping[str, Any], wanted: Mapping[str, Any], *, replicas: int, adjustable: Collection[str] = ()
) -> dict[str, Any]:
    """
    Find what to change in a stream's settings *have*; an empty answer means that nothing is.

    More replicas than asked for are left alone: an operator chose them. So are the settings *adjustable*, as long as
    they have a limit.
    """
    changes = {
        field: value
        for field, value in wanted.items()
        if not _is_same(field, have.get(field), value) and not (field in adjustable and (have.get(field) or 0) > 0)
    }
    if have.get("num_replicas", 1) < replicas:
        changes["num_replicas"] = replicas
    return changes


def _is_same(field: str, have: Any, want: Any) -> bool:
    if field == "subjects":
        return sorted(have or []) == sorted(want)
    if field == "republish":
        return bool(have) and all(have.get(key) == value for key, value in want.items())
    return (have or False) == want if isinstance(want, bool) else have == want


def refuse_fixed(
    stream: str, have: Mapping[str, Any], changes: Mapping[str, Any], *, former_subjects: Sequence[str] = ()
) -> None:
    """
    Refuse changes that would make it another stream.

    Raises:
        StreamSettingsError: Naming the first such setting.
    """
    for field in _FIXED:
        if field not in changes or (field == "subjects" and _is_same(field, have.get(field), former_subjects)):
            continue
        raise StreamSettingsError(stream, field, have=have.get(field), want=changes[field])


async def ensure(
    link: Link, *, replicas: int = 1, events_age_s: float | None = None, storage_bytes: int | None = None
) -> InitReport:
    """
    Create, verify or upgrade every stream; doing it twice is the same as once.

    Args:
        link: Connected.
        replicas: Copies in a cluster.
        events_age_s: How long events are kept; as it is, or thirty days, where not given.
        storage_bytes: What all streams may take together. Where not given, limits that are there stay, and streams
            without one get their part of as much as the broker still has, :data:`FULL_STORAGE_BYTES` at most.

    Raises:
        NoJetStreamError: Server or account have none.
        StreamSettingsError: A stream is there with settings that cannot be changed in place.
        StreamFullError: A stream holds more than its part, or the broker has no room for all parts.
        BrokerError: The broker refused, for example more replicas than it has servers.
    """
    if not link.has_jetstream:
        raise no_jetstream()
    outcomes: dict[str, str] = {}
    sizes = [storage_bytes] if storage_bytes is not None else list(_halved(FULL_STORAGE_BYTES))
    for size in sizes:
        try:
            for spec in STREAMS:
                # What was made a moment ago for a larger size shrinks again.
                is_chosen = storage_bytes is not None or outcomes.get(spec.name) in _CHANGED
                sized = with_events_age(with_storage(spec, size, is_chosen=is_chosen), events_age_s)
                outcomes[spec.name] = _first(outcomes.get(spec.name), await _ensure_one(link, sized, replicas))
            break
        except ApiError as exc:
            if exc.err_code not in NO_ROOM:
                raise
            if size == sizes[-1]:
                raise StreamFullError(
                    f"cannot reserve {size / MIB:.0f} MiB for weft's streams: the broker has not that much left"
                    " (raise max_file_store in its configuration, or weft init --storage SIZE)"
                ) from exc
    await _ensure_identity(link)
    return _report(outcomes)


_CHANGED = ("created", "upgraded")


def _first(before: str | None, now: str) -> str:
    """Return what was done to a stream in all, where a second pass only made it smaller."""
    return now if before in (None, "verified") else str(before)


def _report(outcomes: Mapping[str, str]) -> InitReport:
    names = {kind: tuple(n for n, outcome in outcomes.items() if outcome == kind) for kind in (*_CHANGED, "verified")}
    return InitReport(**names)


def _halved(size: int) -> Iterator[int]:
    while size >= LEAST_STORAGE_BYTES:
        yield size
        size //= 2


async def _ensure_one(link: Link, spec: StreamSpec, replicas: int) -> str:
    wanted = wanted_settings(spec, server_version=link.server_version)
    try:
        found = await ask(link, f"STREAM.INFO.{spec.stream}", stream=spec.stream)
    except StreamMissingError:
        return await _create(link, spec, wanted, replicas)
    have = found["config"]
    changes = differing_settings(have, wanted, replicas=replicas, adjustable=spec.adjustable)
    if not changes:
        return "verified"
    refuse_fixed(spec.stream, have, changes, former_subjects=spec.former_subjects)
    _refuse_eviction(spec.stream, changes, held_bytes=found["state"]["bytes"])
    await ask(link, f"STREAM.UPDATE.{spec.stream}", {**have, **changes}, stream=spec.stream)
    return "upgraded"


def _refuse_eviction(stream: str, changes: Mapping[str, Any], *, held_bytes: int) -> None:
    """
    Refuse a limit below what the stream holds: the broker would throw the rest away, or refuse what comes.

    Raises:
        StreamFullError: Saying how much it holds, and both ways out.
    """
    limit = changes.get("max_bytes", held_bytes)
    if held_bytes > limit:
        part = next(spec.wanted["max_bytes"] for spec in STREAMS if spec.stream == stream)
        needed = FULL_STORAGE_BYTES * held_bytes // part // GIB + 1
        raise StreamFullError(
            f"cannot limit stream {stream!r} to {limit / MIB:.0f} MiB: it holds {held_bytes / MIB:.0f} MiB"
            f" (weft events purge removes what guests sent; weft init --storage {needed}GiB keeps everything)"
        )


async def _create(link: Link, spec: StreamSpec, wanted: Mapping[str, Any], replicas: int) -> str:
    settings = {"name": spec.stream, **wanted, "num_replicas": replicas}
    try:
        await ask(link, f"STREAM.CREATE.{spec.stream}", settings, stream=spec.stream)
    except ApiError as exc:
        if exc.err_code != SUBJECTS_OVERLAP:
            raise
        for subject in wanted["subjects"]:
            found = await ask(link, "STREAM.NAMES", {"subject": subject})
            for other in found.get("streams") or []:
                raise StreamSettingsError(other, "subjects", have=subject, want=f"none of {spec.stream!r}") from exc
        raise
    return "created"


async def _ensure_identity(link: Link) -> None:
    """Give a new catalog its id; one that has an id keeps it."""
    headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
    data = encode_identity(Identity(id=secrets.token_hex(8)))
    answer = await link.request(CATALOG_PREFIX + IDENTITY_KEY, data, timeout_s=5.0, headers=headers)
    error = json.loads(answer.data).get("error")
    if error and error.get("err_code") not in WRONG_LAST_SEQUENCE:
        raise ApiError(f"cannot write into bucket {CATALOG_BUCKET!r}: {error.get('description')}", err_code=0)
