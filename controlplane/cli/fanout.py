"""Run a fan-out for an operator: confirm, show progress, wait if wanted, report, choose the exit code."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from controlplane.cli.exits import FAILED, NOT_CONVERGED, leave
from controlplane.cli.outcome import (
    changes_of,
    fan_out_record,
    next_step,
    outcome_record,
    problems_of,
    summary_of,
    trouble_of,
    verdict_of,
)
from controlplane.cli.output import format_json
from controlplane.cli.progress import shown_progress
from controlplane.cli.session import fast_loop, say, with_plane
from controlplane.cli.terminal import confirm
from controlplane.results import FanOut, OnProgress, Outcome
from weft.errors import ConfirmationNeededError
from weft.terminal import show, show_json, tell

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane

Work = Callable[["ControlPlane", bool, OnProgress], Awaitable[FanOut]]
"""Does the fan-out: the plane, whether the operator has said yes, and what to report progress to."""


@dataclass(frozen=True, slots=True)
class Manner:
    """
    How the operator wants a fan-out done.

    Attributes:
        what: How it is called when done, as in ``published docs``.
        output: ``table`` or ``json``.
        wait: Whether to wait until every VM has it.
        timeout_s: For how long.
        assume_yes: Whether not to ask.
        dry_run: Whether only to say what would change.
    """

    what: str
    output: str = "table"
    wait: bool = False
    timeout_s: float = 60.0
    assume_yes: bool = False
    dry_run: bool = False


def run_fan_out(work: Work, manner: Manner) -> None:
    """Do *work*, tell how it went, and leave with an exit code other than 0 where it did not go well."""

    interrupted = "interrupted: what is stored stays, and the same command does the rest"

    async def done(plane: ControlPlane) -> tuple[FanOut, Outcome | None]:
        nonlocal interrupted
        with shown_progress() as on_progress:
            fan_out = await _confirmed(work, plane, manner.assume_yes, on_progress)
        if not manner.wait or manner.dry_run or not fan_out.vms:
            return fan_out, None
        interrupted = "stopped waiting: everything is stored, and guests go on by themselves (weft status)"
        return fan_out, await waited(plane, fan_out, timeout_s=manner.timeout_s)

    try:
        fan_out, outcome = with_plane(done, loop_factory=fast_loop)
    except KeyboardInterrupt:
        tell(f"weft: {interrupted}")
        raise
    _report(fan_out, outcome, manner)
    if not fan_out.is_complete:
        leave(FAILED)
    if manner.wait and not manner.dry_run and not fan_out.vms:
        tell("weft: cannot wait: no VM is to have it yet; it is stored for those that join")
        leave(FAILED)
    if outcome is not None and not outcome.is_converged:
        leave(NOT_CONVERGED)


async def waited(plane: ControlPlane, what: FanOut | str, **options: Any) -> Outcome:
    """Wait until every VM has *what*, showing progress."""
    with shown_progress() as on_progress:
        outcome: Outcome = await plane.wait(what, on_progress=on_progress, **options)
        return outcome


async def _confirmed(work: Work, plane: ControlPlane, assume_yes: bool, on_progress: OnProgress) -> FanOut:
    try:
        return await work(plane, assume_yes, on_progress)
    except ConfirmationNeededError as exc:
        if not sys.stdin.isatty():
            raise
        if not confirm(f"{exc}. Do it?"):
            leave(FAILED)
    return await work(plane, True, on_progress)


def _report(fan_out: FanOut, outcome: Outcome | None, manner: Manner) -> None:
    for warning in fan_out.warnings:
        tell(f"warning: {warning}")
    if manner.output == "json":
        record = fan_out_record(fan_out) | ({"outcome": outcome_record(outcome)} if outcome is not None else {})
        show_json(format_json(record))
        return
    if manner.dry_run:
        for line in changes_of(fan_out):
            show(line)
    say(summary_of(fan_out, what=manner.what, dry_run=manner.dry_run))
    for line in trouble_of(fan_out):
        tell(line)
    if outcome is not None:
        report_outcome(outcome, timeout_s=manner.timeout_s)


def report_outcome(outcome: Outcome, *, timeout_s: float) -> None:
    """Tell how a wait ended: one line, then one for each VM that has not converged."""
    say(verdict_of(outcome, timeout_s=timeout_s))
    for line in problems_of(outcome, now=datetime.now(UTC)):
        show(line)
    step = next_step(outcome)
    if step:
        say(f"  try: {step}")
