"""The streams and the bucket that weft lives in: their settings as one table, and making a broker agree with it."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.identity import IDENTITY_KEY, Identity, encode_identity
from controlplane.jetstream import SUBJECTS_OVERLAP, WRONG_LAST_SEQUENCE, ApiError, ask, no_jetstream
from weft.errors import StreamMissingError, StreamSettingsError
from weft.link import Link
from weft.wire.subjects import (
    CATALOG_BUCKET,
    CATALOG_PREFIX,
    CATALOG_STREAM,
    EVENTS_ALL,
    EVENTS_OPERATOR_ALL,
    EVENTS_STREAM,
    EVENTS_VM_ALL,
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
        is_age_chosen: Whether an operator says now how long messages are kept.
    """

    name: str
    stream: str
    wanted: Mapping[str, Any]
    is_age_chosen: bool = False


_COMMON: Mapping[str, Any] = {
    "retention": "limits",
    "storage": "file",
    "allow_direct": True,
    "max_consumers": MAX_CONSUMERS,
}

STREAMS = (
    StreamSpec(
        MOUNTS_STREAM,
        MOUNTS_STREAM,
        {
            **_COMMON,
            "subjects": [MOUNTS_ALL],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "allow_batched": True,
            "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
        },
    ),
    StreamSpec(
        STATUS_STREAM,
        STATUS_STREAM,
        {
            **_COMMON,
            "subjects": [STATUS_ALL],
            "max_msgs_per_subject": STATUS_MESSAGES,
            "discard": "new",
            "republish": {"src": STATUS_ALL, "dest": REPEATED_STATUS_PREFIX + "{{wildcard(1)}}"},
        },
    ),
    StreamSpec(
        EVENTS_STREAM,
        EVENTS_STREAM,
        {
            **_COMMON,
            "subjects": [EVENTS_VM_ALL, EVENTS_OPERATOR_ALL],
            "discard": "old",
            "max_age": EVENTS_MAX_AGE_NS,
            "republish": {"src": EVENTS_ALL, "dest": REPEATED_EVENTS_PREFIX + ">", "headers_only": True},
        },
    ),
    StreamSpec(
        CATALOG_BUCKET,
        CATALOG_STREAM,
        {
            **_COMMON,
            "subjects": [CATALOG_PREFIX + ">"],
            "max_msgs_per_subject": CATALOG_HISTORY,
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
    """Return *spec* with the age that an operator chose for events; only their stream has one."""
    if events_age_s is None or spec.stream != EVENTS_STREAM:
        return spec
    return dataclasses.replace(spec, wanted={**spec.wanted, "max_age": round(events_age_s * 1e9)}, is_age_chosen=True)


def differing_settings(
    have: Mapping[str, Any], wanted: Mapping[str, Any], *, replicas: int, is_age_chosen: bool = False
) -> dict[str, Any]:
    """
    Find what to change in a stream's settings *have*; an empty answer means that nothing is.

    More replicas than asked for are left alone: an operator chose them. So is how long events are kept, as long as it
    ends, unless *is_age_chosen* now.
    """
    changes = {field: value for field, value in wanted.items() if not _is_same(field, have.get(field), value)}
    if have.get("max_age") and not is_age_chosen:
        changes.pop("max_age", None)
    if have.get("num_replicas", 1) < replicas:
        changes["num_replicas"] = replicas
    return changes


def _is_same(field: str, have: Any, want: Any) -> bool:
    if field == "subjects":
        return sorted(have or []) == sorted(want)
    if field == "republish":
        return bool(have) and all(have.get(key) == value for key, value in want.items())
    return (have or False) == want if isinstance(want, bool) else have == want


def refuse_fixed(stream: str, have: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """
    Refuse changes that would make it another stream.

    Raises:
        StreamSettingsError: Naming the first such setting.
    """
    for field in _FIXED:
        if field in changes:
            raise StreamSettingsError(stream, field, have=have.get(field), want=changes[field])


async def ensure(link: Link, *, replicas: int = 1, events_age_s: float | None = None) -> InitReport:
    """
    Create, verify or upgrade every stream; doing it twice is the same as once.

    Args:
        link: Connected.
        replicas: Copies in a cluster.
        events_age_s: How long events are kept; as it is, or thirty days, where not given.

    Raises:
        NoJetStreamError: Server or account have none.
        StreamSettingsError: A stream is there with settings that cannot be changed in place.
        BrokerError: The broker refused, for example more replicas than it has servers.
    """
    if not link.has_jetstream:
        raise no_jetstream()
    outcomes: dict[str, list[str]] = {"created": [], "upgraded": [], "verified": []}
    for spec in STREAMS:
        outcomes[await _ensure_one(link, with_events_age(spec, events_age_s), replicas)].append(spec.name)
    await _ensure_identity(link)
    return InitReport(**{outcome: tuple(names) for outcome, names in outcomes.items()})


async def _ensure_one(link: Link, spec: StreamSpec, replicas: int) -> str:
    wanted = wanted_settings(spec, server_version=link.server_version)
    try:
        have = (await ask(link, f"STREAM.INFO.{spec.stream}", stream=spec.stream))["config"]
    except StreamMissingError:
        return await _create(link, spec, wanted, replicas)
    changes = differing_settings(have, wanted, replicas=replicas, is_age_chosen=spec.is_age_chosen)
    if not changes:
        return "verified"
    refuse_fixed(spec.stream, have, changes)
    await ask(link, f"STREAM.UPDATE.{spec.stream}", {**have, **changes}, stream=spec.stream)
    return "upgraded"


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
