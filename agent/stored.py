"""The stored desired state of one VM: read by whatever way the stream offers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import structlog

from agent.desired import Stamp
from weft.errors import (
    BrokerDeniedError,
    BrokerError,
    BrokerUnreachableError,
    NoRespondersError,
    StreamMissingError,
)
from weft.link import Link
from weft.wire.ids import VmId
from weft.wire.subjects import LIVE_TEMPLATE, MOUNTS_ALL, MOUNTS_STREAM, subject

DIRECT_GET = f"$JS.API.DIRECT.GET.{MOUNTS_STREAM}."
MESSAGE_GET = f"$JS.API.STREAM.MSG.GET.{MOUNTS_STREAM}"
STREAM_CREATE = f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}"
READ_TIMEOUT_S = 5.0
NO_MESSAGE_CODE = 10037

log = structlog.get_logger("weft.feed")


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message for this guest, and the broker's place for it (None for one that was not stored)."""

    data: bytes
    stamp: Stamp | None


class StoredState:
    """
    The last message that the stream keeps for one VM.

    Args:
        link: The broker.
        vm: Whose state.
    """

    def __init__(self, link: Link, vm: VmId) -> None:
        self._link = link
        self._subject = subject(vm)

    async def read_directly(self) -> Arrived | None:
        """
        Read it by Direct Get, which any replica answers and which costs the broker next to nothing.

        Returns:
            The message, None where there is none.

        Raises:
            NoRespondersError: There is no JetStream, no stream, or it offers no Direct Get.
            BrokerError: It cannot be read.
        """
        msg = await self._link.request(DIRECT_GET + self._subject, timeout_s=READ_TIMEOUT_S)
        headers = msg.headers or {}
        match headers.get("Status"):
            case None:
                return Arrived(msg.data, parse_stamp(headers))
            case "404":
                return None
            case status:
                raise BrokerError(f"cannot read {self._subject}: {status} {headers.get('Description', '')}".rstrip())

    async def read_through_api(self) -> Arrived | None:
        """
        Read it through the stream API, the only way into a stream with plain settings.

        Returns:
            The message, None where there is none.

        Raises:
            StreamMissingError: There is no stream.
            BrokerError: It cannot be read.
        """
        request = msgspec.json.encode({"last_by_subj": self._subject})
        try:
            msg = await self._link.request(MESSAGE_GET, request, timeout_s=READ_TIMEOUT_S)
        except BrokerDeniedError as exc:
            raise BrokerDeniedError(
                f"cannot read {self._subject}: stream {MOUNTS_STREAM} is missing or offers no Direct Get; run weft init"
            ) from exc
        except NoRespondersError as exc:
            raise StreamMissingError(
                f"cannot read {self._subject}: this account of the broker has no JetStream; run weft init where it has"
            ) from exc
        answer = _decoded(msg.data)
        error = answer.get("error")
        if isinstance(error, dict):
            if error.get("err_code") == NO_MESSAGE_CODE:
                return None
            if error.get("code") == 404:
                raise StreamMissingError(
                    f"cannot read {self._subject}: stream {MOUNTS_STREAM} does not exist; run weft init"
                )
            raise BrokerError(f"cannot read {self._subject}: {error.get('description')}")
        stored = answer.get("message", {})
        try:
            data = base64.b64decode(stored.get("data", ""))
            stamp = Stamp(_nanoseconds(stored["time"]), int(stored["seq"]))
        except (KeyError, ValueError, binascii.Error) as exc:
            raise BrokerError(f"cannot read {self._subject}: the broker's answer makes no sense") from exc
        return Arrived(data, stamp)

    async def create(self) -> None:
        """Create the stream, as one that a development broker can do without ``weft init``."""
        config = {
            "name": MOUNTS_STREAM,
            "subjects": [MOUNTS_ALL],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "republish": {"src": MOUNTS_ALL, "dest": LIVE_TEMPLATE},
            "max_consumers": 10_000,
            "storage": "file",
            "allow_direct": True,
            "retention": "limits",
            "num_replicas": 1,
        }
        answer = _decoded(
            (await self._link.request(STREAM_CREATE, msgspec.json.encode(config), timeout_s=READ_TIMEOUT_S)).data
        )
        if "error" in answer:
            raise BrokerError(f"cannot create stream {MOUNTS_STREAM}: {answer['error'].get('description')}")
        log.warning("stream.created", stream=MOUNTS_STREAM, why="development setting create_stream")


def parse_stamp(headers: Mapping[str, str]) -> Stamp | None:
    """Read the broker's place for a message from its headers; None where they do not have it."""
    try:
        return Stamp(_nanoseconds(headers["Nats-Time-Stamp"]), int(headers["Nats-Sequence"]))
    except (KeyError, ValueError):
        return None


def _nanoseconds(text: str) -> int:
    """Read the broker's RFC 3339 time, which has up to nine decimals."""
    whole, _, rest = text.partition(".")
    if not rest:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * 10**9
    digits = rest[: next((n for n, char in enumerate(rest) if not char.isdigit()), len(rest))]
    zone = rest[len(digits) :].replace("Z", "+00:00")
    return int(datetime.fromisoformat(whole + zone).timestamp()) * 10**9 + int(digits.ljust(9, "0")[:9])


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        raise BrokerUnreachableError("cannot understand the broker's answer: it is not JSON") from exc
    if not isinstance(answer, dict):
        raise BrokerUnreachableError("cannot understand the broker's answer: it is no object")
    return answer
