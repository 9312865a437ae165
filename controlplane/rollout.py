"""Rollouts (pure): whom a new edition has reached, and what to do once it is known how it went there."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from controlplane.records import Rollout, RolloutState, ShareRecord, Targets
from weft.errors import CatalogError, ConfigError
from weft.wire.ids import ShareId, VmId

EVERYBODY = "~"
"""A cutoff above every place, so that also who joins later has been reached."""
DEFAULT_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Pacing:
    """
    How an operator wants an edition rolled out.

    Attributes:
        waves: Percent of the VMs that have it after each wave, growing; the rest follows after the last.
        canary: VMs that get it before the first wave; none of them may fail.
        max_failed: Failed VMs, of all reached, that do not stop it.
        patience_s: Seconds after which a VM that reports but has not converged counts as failed.
    """

    waves: tuple[int, ...] = ()
    canary: int = 0
    max_failed: int = 0
    patience_s: float = DEFAULT_PATIENCE_S

    def __post_init__(self) -> None:
        problems = []
        if not all(0 < wave <= 100 for wave in self.waves) or list(self.waves) != sorted(set(self.waves)):
            problems.append(f"cannot roll out in waves {list(self.waves)}: expected growing percentages from 1 to 100")
        if self.canary < 0 or self.max_failed < 0 or self.patience_s < 0:
            problems.append("cannot roll out with a negative canary, max_failed or patience")
        if problems:
            raise ConfigError(problems)


def parse_wave(text: str) -> int:
    """
    Read ``10%`` or ``10``.

    Raises:
        ConfigError: It is neither.
    """
    found = re.match(r"^(\d{1,3})%?\Z", text)
    if found is None or not 0 < int(found[1]) <= 100:
        raise ConfigError([f"cannot use wave {text!r}: expected a percentage such as 10%"])
    return int(found[1])


def place(share_id: ShareId, vm: VmId) -> str:
    """Name the place of *vm* in the order in which it gets editions of a share; places compare as texts."""
    return hashlib.sha256(f"{share_id}/{vm}".encode()).hexdigest()[:16]


def has_reached(record: ShareRecord, vm: VmId) -> bool:
    """Say whether *vm* is to have this edition, and not the one before."""
    rollout = record.open_rollout
    return rollout is None or place(record.share_id, vm) <= rollout.cutoff


def split(record: ShareRecord, vms: Iterable[VmId]) -> tuple[frozenset[VmId], frozenset[VmId]]:
    """Part *vms* into those that are to have this edition, and those that keep the one before."""
    asked = frozenset(vms)
    if record.open_rollout is None:
        return asked, frozenset()
    reached = frozenset(vm for vm in asked if has_reached(record, vm))
    return reached, asked - reached


# --- the steps of a rollout -------------------------------------------------------------------------------------------


def begin(
    old: ShareRecord | None, new: ShareRecord, pacing: Pacing, vms: Collection[VmId], at: datetime
) -> ShareRecord:
    """
    Build *new* such that only its first step has it.

    While a rollout of *old* is under way, it starts over: everybody not reached keeps what they have, the rest
    returns to it.

    Args:
        old: What was there, None for a new share.
        new: What was asked for.
        pacing: How.
        vms: Everybody who gets either edition.
        at: Now.
    """
    previous = old
    if old is not None and old.open_rollout is not None:
        previous = old.open_rollout.previous
    waves = pacing.waves if pacing.waves[-1:] == (100,) else (*pacing.waves, 100)
    rollout = Rollout(
        state=RolloutState.RUNNING,
        waves=waves,
        canary=pacing.canary,
        max_failed=pacing.max_failed,
        tolerated=0 if pacing.canary else pacing.max_failed,
        patience_s=pacing.patience_s,
        step_at=at,
        started_at=at,
        started_by=new.updated_by,
        previous=msgspec.structs.replace(previous, rollout=None) if previous is not None else None,
    )
    record = msgspec.structs.replace(new, rollout=rollout)
    return msgspec.structs.replace(record, rollout=_with_cutoff(record, rollout, vms))


def steps_of(rollout: Rollout) -> tuple[str, ...]:
    """Name the steps in order."""
    return (*((f"canary {rollout.canary}",) if rollout.canary else ()), *(f"{wave}%" for wave in rollout.waves))


def advance(record: ShareRecord, rollout: Rollout, vms: Collection[VmId], at: datetime) -> ShareRecord:
    """
    Build *record* one step further; after the last step the rollout is done, and the edition before is let go.

    Args:
        record: The share.
        rollout: Its rollout, under way.
        vms: Everybody who gets either edition.
        at: Now.
    """
    if rollout.step + 1 >= len(steps_of(rollout)):
        done = msgspec.structs.replace(rollout, state=RolloutState.DONE, previous=None, problem="", step_at=at)
        return msgspec.structs.replace(record, rollout=done)
    following = msgspec.structs.replace(
        rollout, state=RolloutState.RUNNING, step=rollout.step + 1, tolerated=rollout.max_failed, problem="", step_at=at
    )
    return msgspec.structs.replace(record, rollout=_with_cutoff(record, following, vms))


def _with_cutoff(record: ShareRecord, rollout: Rollout, vms: Collection[VmId]) -> Rollout:
    places = sorted(place(record.share_id, vm) for vm in vms)
    wave = rollout.step - (1 if rollout.canary else 0)
    if wave >= len(rollout.waves) - 1:
        cutoff = EVERYBODY
    else:
        count = min(rollout.canary, len(places)) if wave < 0 else -(-len(places) * rollout.waves[wave] // 100)
        cutoff = places[count - 1] if count else ""
    return msgspec.structs.replace(rollout, cutoff=max(rollout.cutoff, cutoff))


def pause(record: ShareRecord) -> ShareRecord:
    """
    Build *record* such that its rollout goes no further.

    Raises:
        CatalogError: None is running.
    """
    rollout = _open(record, "pause")
    if rollout.state is not RolloutState.RUNNING:
        raise CatalogError(f"cannot pause the rollout of share {record.share.id!r}: it is {rollout.state.value}")
    return msgspec.structs.replace(record, rollout=msgspec.structs.replace(rollout, state=RolloutState.PAUSED))


def resume(record: ShareRecord, at: datetime, *, max_failed: int | None = None) -> ShareRecord:
    """
    Build *record* such that its rollout goes on where it is; VMs get the whole patience again.

    Args:
        record: The share.
        at: Now.
        max_failed: Failed VMs that do not stop it from now on, the canary included; None for as before.

    Raises:
        CatalogError: No rollout is under way.
    """
    rollout = _open(record, "resume")
    if max_failed is not None:
        rollout = msgspec.structs.replace(rollout, max_failed=max_failed, tolerated=max_failed)
    if rollout.state is RolloutState.RUNNING and max_failed is None:
        return record
    running = msgspec.structs.replace(rollout, state=RolloutState.RUNNING, problem="", step_at=at)
    return msgspec.structs.replace(record, rollout=running)


def stop(record: ShareRecord, problem: str) -> ShareRecord:
    """Build *record* such that its rollout stands still because of *problem*; raises as :func:`resume`."""
    stopped = msgspec.structs.replace(_open(record, "stop"), state=RolloutState.STOPPED, problem=problem)
    return msgspec.structs.replace(record, rollout=stopped)


def undo(record: ShareRecord) -> ShareRecord | None:
    """
    Return the edition before, for everybody; None where the share was new.

    Raises:
        CatalogError: No rollout is under way.
    """
    return _open(record, "undo").previous


def _open(record: ShareRecord, verb: str) -> Rollout:
    if record.rollout is None:
        raise CatalogError(f"cannot {verb} the rollout of share {record.share.id!r}: it has none")
    if not record.rollout.is_open:
        raise CatalogError(
            f"cannot {verb} the rollout of share {record.share.id!r}: it is done"
            f" ('weft rollback {record.share.id}' brings an earlier edition back)"
        )
    return record.rollout


def at_once(
    old: ShareRecord | None, new: ShareRecord, change_targets: Callable[[Targets], Targets] | None = None
) -> ShareRecord:
    """
    Build *new* such that everybody gets it at once, as far as a rollout of *old* allows.

    Args:
        old: What was there, None for a new share.
        new: What was asked for, with the rollout of *old* still in it.
        change_targets: What the command did to the targets; while two editions are out it is done to both.

    Raises:
        CatalogError: It would put a third edition beside the two that are out.
    """
    if old is None or old.rollout is None:
        return new
    if not old.rollout.is_open:
        return new if _is_one_edition(old, new) else msgspec.structs.replace(new, rollout=None)
    if not _is_one_edition(old, new):
        raise CatalogError(
            f"cannot change share {new.share.id!r}: a rollout of it is under way"
            f" (weft rollout undo {new.share.id}, or let it finish, or publish with --wave to start over)"
        )
    previous = old.rollout.previous
    if previous is not None and change_targets is not None:
        previous = msgspec.structs.replace(previous, targets=change_targets(previous.targets))
    return msgspec.structs.replace(new, rollout=msgspec.structs.replace(old.rollout, previous=previous))


def _is_one_edition(old: ShareRecord, new: ShareRecord) -> bool:
    """Say whether guests see no difference but perhaps a refresh."""
    same_refresh = msgspec.structs.replace(new.share, refresh=old.share.refresh)
    return old.share == same_refresh and old.remote == new.remote


# --- how it goes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    """
    How many of the VMs reached stand where.

    Attributes:
        converged: Have it.
        failed: Cannot have it as things are.
        struggling: Report, and have not got there yet.
        silent: Have never reported, or not for a while; what goes wrong there is not this edition.
    """

    converged: int = 0
    failed: int = 0
    struggling: int = 0
    silent: int = 0


class Next(enum.Enum):
    """What becomes of a rollout: it needs time, goes one step on, or stops."""

    WAIT = enum.auto()
    GO_ON = enum.auto()
    STOP = enum.auto()


def judge_step(rollout: Rollout, tally: Tally, now: datetime) -> tuple[Next, str]:
    """
    Decide what becomes of a running rollout, and say why.

    Args:
        rollout: Where it is.
        tally: How the VMs reached so far took it.
        now: To be compared with the beginning of the step.
    """
    is_late = rollout.step_at is None or now >= rollout.step_at + timedelta(seconds=rollout.patience_s)
    failed = tally.failed + (tally.struggling if is_late else 0)
    reached = tally.converged + tally.failed + tally.struggling + tally.silent
    if failed > rollout.tolerated:
        return Next.STOP, f"{failed} of {reached} VMs failed, and {rollout.tolerated} may"
    if tally.struggling and not is_late:
        return Next.WAIT, f"{tally.struggling} of {reached} VMs are at it"
    if reached and not tally.converged:
        if failed:
            return Next.STOP, f"none of {reached} VMs has it"
        return Next.WAIT, f"none of the {reached} VMs reached reports"
    return Next.GO_ON, ""
