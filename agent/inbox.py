"""The inbox: each message through decoding and the gate, what is held afterwards, and what was wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import structlog

from agent.desired import Accepted, Conflict, Desired, Refused, Stale, Unchanged, Verdict, accept, dismissals
from agent.stored import Arrived
from weft.errors import DecodeError, ErrorCode, RevisionConflictError, StaleRevisionError, TooManySharesError
from weft.wire.codec import Message, decode_message
from weft.wire.mountset import MAX_SHARES, MountSet
from weft.wire.share import ShareMount
from weft.wire.status import ShareError

log = structlog.get_logger("weft.inbox")


@dataclass(frozen=True, slots=True)
class NewState:
    """What is held from now on, and the shares that were told to go by name."""

    desired: Desired
    dismissals: tuple[ShareMount, ...]


class Inbox:
    """
    Take messages, in the order they arrive.

    Args:
        desired: What is held at the start.
        max_shares: How many shares this guest takes.
    """

    def __init__(self, desired: Desired, *, max_shares: int = MAX_SHARES) -> None:
        self.desired = desired
        self._max_shares = max_shares
        self.revision_seen = desired.revision
        self.problem: ShareError | None = None

    def hold(self, desired: Desired) -> None:
        """Hold *desired*, which came from elsewhere: the ledger, or the boot file."""
        self.desired = desired
        self.revision_seen = max(self.revision_seen, desired.revision)

    @property
    def problem_text(self) -> str | None:
        """Why the newest message is not obeyed, None if it is."""
        return self.problem.message if self.problem else None

    def take(self, arrived: Arrived, *, now_ms: int) -> NewState | None:
        """
        Decode and judge one message.

        Returns:
            What is held from now on, None where the message changes nothing.
        """
        try:
            message = decode_message(arrived.data, max_shares=self._max_shares)
            verdict = accept(self.desired, message, arrived.stamp, now_ms=now_ms, max_shares=self._max_shares)
        except DecodeError as exc:
            if isinstance(exc, TooManySharesError) and exc.vm == self.desired.vm:
                self.revision_seen = max(self.revision_seen, exc.revision)  # so that whoever waits for it is told
            self._report(ErrorCode.BAD_SPEC, exc.reason, "message.refused", stream_seq=_sequence(arrived))
            return None
        except Exception as exc:  # noqa: BLE001  # no message may end the agent, or it ends again at every start
            reason = f"cannot understand the message: {type(exc).__name__}"
            self._report(ErrorCode.INTERNAL, reason, "message.refused", stream_seq=_sequence(arrived))
            return None
        if isinstance(message, MountSet) and message.vm == self.desired.vm:
            self.revision_seen = max(self.revision_seen, message.revision)
        return self._judge(message, verdict, _sequence(arrived))

    def abandon(self, arrived: Arrived) -> None:
        """Report a message that is not even looked at, as the agent did not stay alive with it."""
        reason = (
            "cannot obey the stored message: this agent ended each time it tried, so the message was set aside; "
            "publish again, or try once more with weft-agent resync"
        )
        self._report(ErrorCode.INTERNAL, reason, "message.refused", stream_seq=_sequence(arrived))

    def _judge(self, message: Message, verdict: Verdict, stream_seq: int | None) -> NewState | None:
        match verdict:
            case Accepted(desired, changed):
                self._accept(desired, len(changed), stream_seq)
                return NewState(desired, dismissals(message))
            case Unchanged():
                self.problem = None
            case Stale(revision, held_revision, is_old_copy):
                if not is_old_copy:
                    reason = str(StaleRevisionError(revision, held_revision))
                    self._report(ErrorCode.CONFLICT, reason, "message.stale", stream_seq=stream_seq)
            case Conflict(revision):
                reason = str(RevisionConflictError(revision))
                self._report(ErrorCode.CONFLICT, reason, "message.conflicted", stream_seq=stream_seq)
            case Refused(reason, code):
                self._report(code, reason, "message.refused", stream_seq=stream_seq)
            case _:
                assert_never(verdict)
        return None

    def _accept(self, desired: Desired, changed: int, stream_seq: int | None) -> None:
        self.desired = desired
        self.problem = None
        log.info("message.accepted", vm=desired.vm, revision=desired.revision, stream_seq=stream_seq, changed=changed)
        for element in desired.rejected:
            log.warning("share.rejected", share=element.id, revision=desired.revision, error=element.reason)

    def _report(self, code: ErrorCode, reason: str, event: str, *, stream_seq: int | None) -> None:
        if self.problem is None or self.problem.message != reason:
            log.warning(event, vm=self.desired.vm, revision=self.desired.revision, stream_seq=stream_seq, error=reason)
        self.problem = ShareError(code=code, message=reason)


def _sequence(arrived: Arrived) -> int | None:
    return arrived.stamp.stream_seq if arrived.stamp else None
