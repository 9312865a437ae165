"""What an operation of the control plane says it did, VM by VM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from weft.errors import ErrorCode
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareState


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a long operation: *done* of *total* VMs; for a wait also how many failed so far."""

    phase: str
    done: int
    total: int
    failed: int = 0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class FanOut:
    """
    The outcome of one fan-out; every VM it concerned is in exactly one of the four maps.

    Attributes:
        share_ids: The shares it was about; empty for a sync.
        stored: VMs whose new state the stream acknowledged, with the stored revision.
        unchanged: VMs whose stored state was already right, with its revision.
        failed: VMs whose state was not stored, and why (one sentence each).
        unknown: VMs whose state may or may not be stored (the answer was lost), and why.
        expected: For each VM and share, the digest it must report, or None where the share must be gone.
        warnings: What the operator should know (an empty class, a VM that never reported).
    """

    share_ids: tuple[ShareId, ...] = ()
    stored: Mapping[VmId, int] = field(default_factory=dict)
    unchanged: Mapping[VmId, int] = field(default_factory=dict)
    failed: Mapping[VmId, str] = field(default_factory=dict)
    unknown: Mapping[VmId, str] = field(default_factory=dict)
    expected: Mapping[VmId, Mapping[ShareId, str | None]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def vms(self) -> tuple[VmId, ...]:
        """Every VM it concerned, sorted."""
        return tuple(sorted({*self.stored, *self.unchanged, *self.failed, *self.unknown}))

    @property
    def is_complete(self) -> bool:
        """Whether every VM's state is stored."""
        return not self.failed and not self.unknown


@dataclass(frozen=True, slots=True)
class VmProblem:
    """Why one VM has not converged: the share it is about, its state and error, and when it is tried again."""

    vm: VmId
    share_id: ShareId | None
    state: ShareState | None
    code: ErrorCode | None
    message: str
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The outcome of a wait.

    Attributes:
        converged: VMs that have what was published.
        failed: VMs that reported the revision and an error.
        waiting: VMs that did not report in time, or are still at it.
    """

    converged: tuple[VmId, ...] = ()
    failed: Mapping[VmId, VmProblem] = field(default_factory=dict)
    waiting: Mapping[VmId, VmProblem] = field(default_factory=dict)

    @property
    def is_converged(self) -> bool:
        """Whether every VM has it."""
        return not self.failed and not self.waiting
