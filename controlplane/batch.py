"""Fast-ingest bookkeeping (pure): which messages of a batch the broker stored, refused, or never confirmed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import assert_never

import msgspec

MAX_FLOW = 1000
"""Messages between two acknowledgements that we ask for; the server may choose fewer."""
MAX_OUTSTANDING_ACKS = 3
"""Acknowledgements we may be ahead by: enough to keep the server busy, little enough to stop soon after a loss."""

BATCHES_DISABLED = 10205
BATCH_UNKNOWN = 10208
"""The batch never began, or its leader changed: nothing after this is stored."""

STREAM_FULL = 10077
"""Within a batch a full stream also refuses what would only replace a message (2.15); singly it takes that."""
STORAGE_FULL = 10023
"""The broker's whole storage is full, whatever the stream's own limit."""


class Op(enum.IntEnum):
    """What a message of a batch asks for, as it stands in its reply subject."""

    START = 0
    APPEND = 1
    END = 3
    PING = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """The stream holds the message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The stream does not hold the message; *err_code* is JetStream's number for the reason, 0 for none."""

    err_code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unsent:
    """The message was never sent."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The message was sent and nothing was heard of it."""

    reason: str


Verdict = Stored | Refused | Unsent | Unknown


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Frame(msgspec.Struct):
    """Every answer of the server: a flow acknowledgement, a gap, a refusal, or the final one."""

    type: str = ""
    seq: int = 0
    msgs: int = 0
    last_seq: int = 0
    batch: str = ""
    error: _Error | None = None


_FRAMES = msgspec.json.Decoder(_Frame)


def reply_subject(inbox: str, batch: str, place: int, op: Op, *, flow: int = MAX_FLOW) -> str:
    """
    Build the reply subject that makes a message part of a batch.

    Args:
        inbox: Where answers arrive.
        batch: The batch's id, never used before.
        place: Position in the batch, from 1.
        op: What it asks for.
        flow: Messages per acknowledgement.

    Source:
        NATS architecture decision 50.
    """
    return f"{inbox}.{batch}.{flow}.ok.{place}.{op.value}.$FI"


def place_of(subject: str) -> tuple[int, Op | None]:
    """Read position and operation out of the subject an answer came on; an unknown operation is None."""
    tokens = subject.rsplit(".", 3)
    try:
        return int(tokens[1]), Op(int(tokens[2]))
    except (IndexError, ValueError):
        return 0, None


class Batch:
    """
    One batch from its first message to its last answer.

    Args:
        size: Messages in it, without the end mark.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.sent = 0
        self.acknowledged = 0
        self.is_over = False
        self._flow = 1
        self._refused: dict[int, Refused] = {}
        self._has_begun = False

    @property
    def may_send(self) -> int:
        """How many more messages may be sent now."""
        ahead = MAX_FLOW if not self._has_begun else max(1, self._flow)
        return 0 if self.is_over else min(self.size, self.acknowledged + ahead * MAX_OUTSTANDING_ACKS) - self.sent

    def take(self, subject: str, data: bytes, *, status: str = "") -> None:
        """
        Learn from one answer.

        Args:
            subject: Where it arrived.
            data: Its payload.
            status: The status header, for answers without payload.
        """
        place, op = place_of(subject)
        if status:
            self._refuse(place, Refused(0, "no stream takes this subject"))
            self.is_over = self.is_over or op is Op.END
            return
        frame = _FRAMES.decode(data)
        match frame.type:
            case "ack":
                self._has_begun = True
                self._flow = frame.msgs
                self.acknowledged = max(self.acknowledged, frame.seq)
            case "err":
                self._refuse(frame.seq, _refusal(frame))
            case "gap":
                for lost in range(frame.last_seq, frame.seq):
                    self._refuse(lost, Refused(0, "the broker did not take it (is publishing there allowed?)"))
            case _:
                self._take_final(frame, place, op)

    def _take_final(self, frame: _Frame, place: int, op: Op | None) -> None:
        if frame.error is not None:
            self._refuse(place, _refusal(frame))
            self.is_over = self.is_over or op is Op.END or frame.error.err_code in (BATCHES_DISABLED, BATCH_UNKNOWN)
        elif frame.batch or op is Op.END:
            # A replicated stream gives the final answer where its last message was, not where the end mark was (2.15).
            self.acknowledged = self.size
            self.is_over = True

    def _refuse(self, place: int, refused: Refused) -> None:
        if 0 < place <= self.size:
            self._refused.setdefault(place, refused)

    @property
    def done(self) -> int:
        """How many messages have their answer."""
        return self.acknowledged + sum(1 for place in self._refused if place > self.acknowledged)

    def verdicts(self, reason: str) -> list[Verdict]:
        """
        Say what became of each message, in order.

        Args:
            reason: Why nothing more will be heard, for what was not confirmed.
        """
        return [self._verdict(place, reason) for place in range(1, self.size + 1)]

    def _verdict(self, place: int, reason: str) -> Verdict:
        refused = self._refused.get(place)
        if refused is not None:
            return refused
        if place <= self.acknowledged:
            return Stored()
        return Unknown(reason) if place <= self.sent else Unsent(reason)


def _refusal(frame: _Frame) -> Refused:
    error = frame.error or _Error()
    return Refused(error.err_code, error.description)


def why_refused(refused: Refused, stream: str) -> str:
    """Say why the broker refused a message for *stream*; what is about storage ends with where to look."""
    match refused.err_code:
        case code if code == STREAM_FULL:
            return f"stream {stream!r} is full, all the storage it may take (weft doctor)"
        case code if code == STORAGE_FULL:
            return "the broker's storage is full (weft doctor)"
        case _:
            return refused.reason


def is_stored(verdict: Verdict) -> bool:
    """Say whether the stream certainly holds the message."""
    match verdict:
        case Stored():
            return True
        case Refused() | Unsent() | Unknown():
            return False
        case _:
            assert_never(verdict)
