"""Questions to JetStream's API, answered by a stream's leader, with its errors as types."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.stored import StoredMessage
from weft.errors import (
    BrokerDeniedError,
    BrokerError,
    NoJetStreamError,
    NoLeaderError,
    NoRespondersError,
    StreamMissingError,
)
from weft.link import Link
from weft.wire.subjects import IMPORTED_API

API = "$JS.API."
_IMPORTING = frozenset({"operator", "observer"})
"""Roles whose accounts import the API; everybody else asks in the account that has the streams."""
REQUEST_TIMEOUT_S = 5.0

STREAM_NOT_FOUND = 10059
NO_MESSAGE = 10037
SUBJECTS_OVERLAP = 10065
NO_ROOM = frozenset({10047, 10005})
"""A stream's limit is reserved in the broker's storage; in a cluster no server has room for it."""
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_NO_JETSTREAM = frozenset({10039, 10076})
_NO_QUORUM = frozenset({10008, 10009, 10023})

HOW_TO_ENABLE = "start nats-server with --jetstream, or put 'jetstream {}' into its configuration"


class ApiError(BrokerError):
    """
    JetStream refused a request.

    Args:
        err_code: JetStream's own number for the reason.
    """

    def __init__(self, message: str, *, err_code: int) -> None:
        super().__init__(message)
        self.err_code = err_code


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """
    What a stream's leader says about it.

    Attributes:
        last_seq: The newest sequence; grows with every stored message.
        created: When it was made; another time means another stream under the same name.
        now_s: The broker's clock as it answered, as a Unix time.
        config: Its settings as the API writes them.
        messages: How many it has.
        subjects: How many subjects they are on.
    """

    last_seq: int
    created: str
    now_s: float
    config: Mapping[str, Any]
    messages: int
    subjects: int


async def ask(link: Link, question: str, body: Mapping[str, Any] | None = None, *, stream: str = "") -> dict[str, Any]:
    """
    Ask JetStream's API.

    Args:
        link: Connected.
        question: What follows ``$JS.API.``.
        body: The request, sent as JSON.
        stream: The stream it is about, for the error's text.

    Raises:
        NoJetStreamError: Server or account have none.
        StreamMissingError: The stream is not there.
        ApiError: Any other refusal.
        BrokerUnreachableError: No answer in time, or the stream has no leader.
    """
    data = json.dumps(body).encode() if body is not None else b""
    try:
        answer = await link.request(api_subject(link, question), data, timeout_s=REQUEST_TIMEOUT_S)
    except NoRespondersError as exc:
        raise no_jetstream() from exc
    reply: dict[str, Any] = json.loads(answer.data)
    error = reply.get("error")
    if error:
        raise _translated(error, stream)
    return reply


def api_subject(link: Link, question: str) -> str:
    """Name the subject on which this connection's user asks JetStream's API *question*."""
    return (API if lives_with_streams(link) else IMPORTED_API) + question


def lives_with_streams(link: Link) -> bool:
    """Say whether this connection's user is in the account of the streams, and may ask about any of them there."""
    return link.user is None or link.user.role not in _IMPORTING


def no_jetstream() -> NoJetStreamError:
    """Build the error for a server or account without JetStream."""
    return NoJetStreamError(f"cannot store anything: the broker has no JetStream ({HOW_TO_ENABLE})")


def _translated(error: Mapping[str, Any], stream: str) -> BrokerError:
    err_code = int(error.get("err_code", 0))
    text = str(error.get("description", "no reason given"))
    about = f"stream {stream!r}" if stream else "the broker's JetStream"
    if err_code in _NO_JETSTREAM:
        return no_jetstream()
    if err_code == STREAM_NOT_FOUND:
        return StreamMissingError(f"cannot find stream {stream!r} (run 'weft init' to create it)")
    if err_code in _NO_QUORUM or error.get("code") == 503:
        return NoLeaderError(f"cannot use {about}: {text}; try again when its cluster has a leader")
    if error.get("code") == 403:
        return BrokerDeniedError(f"cannot use {about}: {text}")
    return ApiError(f"cannot use {about}: {text}", err_code=err_code)


async def stream_facts(link: Link, stream: str) -> StreamFacts:
    """Ask the leader of *stream* for its state; raises as :func:`ask`."""
    reply = await ask(link, f"STREAM.INFO.{stream}", stream=stream)
    return StreamFacts(
        last_seq=reply["state"]["last_seq"],
        created=reply["created"],
        now_s=parse_time_s(reply["ts"]),
        config=reply["config"],
        messages=reply["state"]["messages"],
        subjects=reply["state"].get("num_subjects", 0),
    )


async def read_subjects(link: Link, stream: str, subjects: str) -> frozenset[str]:
    """Name every subject of *stream* below the wildcard *subjects* that has a message; raises as :func:`ask`."""
    return frozenset(await count_by_subject(link, stream, subjects))


async def count_by_subject(link: Link, stream: str, subjects: str) -> dict[str, int]:
    """Count the messages on each subject of *stream* below the wildcard *subjects*; raises as :func:`ask`."""
    found: dict[str, int] = {}
    while True:
        body = {"subjects_filter": subjects, "offset": len(found)}
        reply = await ask(link, f"STREAM.INFO.{stream}", body, stream=stream)
        page = reply["state"].get("subjects") or {}
        found |= page
        if not page or len(found) >= reply.get("total", 0):
            return found


async def purge(link: Link, stream: str, subject: str, *, before_seq: int = 0) -> int:
    """
    Remove messages on *subject*, up to but not including *before_seq* where one is given, and return how many.

    Raises as :func:`ask`.
    """
    body = {"filter": subject, "seq": before_seq} if before_seq else {"filter": subject}
    reply = await ask(link, f"STREAM.PURGE.{stream}", body, stream=stream)
    return int(reply.get("purged", 0))


async def last_message(link: Link, stream: str, subject: str) -> StoredMessage | None:
    """Read the last message on *subject* through the stream's leader, None where there is none."""
    return await _get(link, stream, {"last_by_subj": subject})


async def first_message_after(link: Link, stream: str, subject: str, seq: int) -> StoredMessage | None:
    """Read the first message on *subject* that was stored after *seq*, through the leader."""
    return await _get(link, stream, {"next_by_subj": subject, "seq": seq + 1})


async def message_at(link: Link, stream: str, seq: int) -> StoredMessage | None:
    """Read the message with sequence *seq* through the leader, None where it is not there any more."""
    return await _get(link, stream, {"seq": seq})


async def _get(link: Link, stream: str, body: Mapping[str, Any]) -> StoredMessage | None:
    try:
        reply = await ask(link, f"STREAM.MSG.GET.{stream}", body, stream=stream)
    except ApiError as exc:
        if exc.err_code == NO_MESSAGE:
            return None
        raise
    message = reply["message"]
    data = base64.b64decode(message.get("data", ""))
    return StoredMessage(message["subject"], message["seq"], data, parse_time_s(message["time"]))


def parse_time_s(text: str) -> float:
    """Turn the server's RFC 3339 time, which may have nine decimals, into a Unix time."""
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(head + "+00:00").timestamp() + float(f"0.{fraction or 0}")
