"""Where the work on each share stands: one frozen value per share, and the transitions between them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from agent.reconcile.backoff import backoff_s
from weft.errors import ErrorCode, MountError, WeftError
from weft.printable import encodable
from weft.wire.share import ShareMount

UNMOUNT = "unmount"
"""The goal of a share that must go; every other goal is the digest to be mounted."""

STABLE_S = 60.0
"""A mount that was lost sooner than this after coming up is a fight or a crash loop, and is repaired more slowly."""


class StepKind(enum.StrEnum):
    """What one step does."""

    CHECK = "check"
    MOUNT = "mount"
    UNMOUNT = "unmount"


@dataclass(frozen=True, slots=True)
class Step:
    """
    One idempotent action on one share.

    Attributes:
        kind: What to do.
        share: What the ApplyFunc gets.
        goal: What it leads to, see :class:`Phase`.
        mount_points: Where it works; no other step works at, above or below these meanwhile.
    """

    kind: StepKind
    share: ShareMount
    goal: str
    mount_points: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fault:
    """
    Why a share is not as it should be, as the status shows it.

    Attributes:
        code: Kind of failure.
        message: One sentence.
        detail: More lines.
        is_permanent: Whether trying again is pointless.
        is_standing: Whether the mount is to be left as it is: its client mostly recovers by itself.
    """

    code: ErrorCode
    message: str
    detail: str = ""
    is_permanent: bool = False
    is_standing: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """
    The work on one share.

    Attributes:
        goal: Digest to be mounted, or :data:`UNMOUNT`; counters are about this goal only.
        attempts: Attempts at the goal, the running one included.
        due_s: Monotonic time before which it is not tried again.
        fault: Why the last attempt failed.
        ailment: What is wrong with the mount that is up: it hangs, cannot be read, or its client is gone.
        remark: What is worth knowing of the last step, or of the one in flight, though it is no failure.
        running: The step in flight.
        is_checked: Whether what can be known beforehand was found good for the coming attempt.
        mounted_s: When it came up, None before.
        losses: How often in a row it was lost soon after coming up.
    """

    goal: str = ""
    attempts: int = 0
    due_s: float = 0.0
    fault: Fault | None = None
    ailment: Fault | None = None
    remark: Fault | None = None
    running: Step | None = None
    is_checked: bool = False
    mounted_s: float | None = None
    losses: int = 0

    @property
    def is_waiting_for_change(self) -> bool:
        """Whether trying the goal again is pointless until the spec or the guest changes."""
        return self.fault is not None and self.fault.is_permanent

    @property
    def is_dead(self) -> bool:
        """Whether what is mounted answers nobody any more, and will not."""
        return self.ailment is not None and not self.ailment.is_standing

    @property
    def is_sick(self) -> bool:
        """Whether calls that walk into what is mounted fail or hang."""
        return self.is_dead or (self.ailment is not None and self.ailment.code is ErrorCode.HUNG)


def build_fault(error: BaseException) -> Fault:
    """
    Describe *error*; whatever is not of weft's tree is a fault of the program.

    It may quote names of the guest's files and processes, so it is made fit for a message here.
    """
    match error:
        case MountError():
            message, detail = encodable(error.message), encodable(error.detail)
            return Fault(error.code, message, detail, error.is_permanent, error.keeps_old)
        case WeftError():
            return Fault(ErrorCode.INTERNAL, encodable(str(error)))
        case _:
            return Fault(ErrorCode.INTERNAL, encodable(f"cannot finish the step: {type(error).__name__}: {error}"))


def toward(phase: Phase, goal: str) -> Phase:
    """Return *phase* as it counts for *goal*: another goal starts counting anew."""
    if phase.goal == goal:
        return phase
    return Phase(
        goal,
        ailment=phase.ailment,
        remark=phase.remark,
        running=phase.running,
        mounted_s=phase.mounted_s,
        losses=phase.losses,
    )


def begin(phase: Phase, step: Step) -> Phase:
    """Note that *step* is in flight."""
    now = toward(phase, step.goal)
    attempts = now.attempts if step.kind is StepKind.CHECK else now.attempts + 1
    return replace(now, running=step, attempts=attempts, remark=None)


def succeed(phase: Phase, *, now_s: float) -> Phase:
    """Note that the step in flight did what it should."""
    # Should the goal not be reached all the same, the next attempt must not follow at once, for ever.
    again_s = now_s + backoff_s(max(phase.attempts, 1), jitter=1.0)
    match phase.running:
        case Step(kind=StepKind.CHECK):
            return replace(phase, running=None, is_checked=True)
        case Step(kind=StepKind.MOUNT):
            return Phase(
                phase.goal,
                attempts=phase.attempts,
                due_s=again_s,
                remark=phase.remark,
                mounted_s=now_s,
                losses=phase.losses,
            )
        case _:
            return Phase(phase.goal, attempts=phase.attempts, due_s=again_s, remark=phase.remark, losses=phase.losses)


def fail(phase: Phase, fault: Fault, *, now_s: float, jitter: float) -> Phase:
    """Note that the step in flight failed, and when it is due again."""
    is_check = phase.running is not None and phase.running.kind is StepKind.CHECK
    attempts = phase.attempts + 1 if is_check else phase.attempts
    return replace(
        phase,
        running=None,
        is_checked=False,
        attempts=attempts,
        fault=fault,
        due_s=now_s + backoff_s(attempts, jitter=jitter),
    )


def recall(phase: Phase) -> Phase:
    """Note that the step in flight was called off: its goal is not wanted any more."""
    return Phase(ailment=phase.ailment, losses=phase.losses)


def suffer(phase: Phase, ailment: Fault | None, *, now_s: float, jitter: float) -> Phase:
    """
    Note what is wrong with a mount that is up, or that nothing is.

    The first repair of a lost mount is immediate; quick repetitions are slowed down.
    """
    if ailment is None:
        return replace(phase, ailment=None)
    if phase.is_dead:
        return phase
    if ailment.is_standing:
        return replace(phase, ailment=ailment)
    was_stable = phase.mounted_s is None or now_s - phase.mounted_s >= STABLE_S
    losses = 0 if was_stable else phase.losses + 1
    due_s = now_s + backoff_s(losses - 1, jitter=jitter) if losses > 1 else now_s
    if losses > 1:
        again = f"; lost {losses} times in a row within {STABLE_S:g} s of coming up, so it is brought back more slowly"
        ailment = replace(ailment, message=ailment.message + again)
    return replace(phase, attempts=0, fault=None, ailment=ailment, losses=losses, due_s=due_s)


def retry(phase: Phase) -> Phase:
    """Make the share due now, also after a permanent failure."""
    return replace(phase, attempts=0, due_s=0.0, fault=None, losses=0)
