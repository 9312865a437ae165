"""Rollouts as operators see them: a line each, one's card, what its VMs lack, and the next command. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from controlplane.cli.outcome import outcome_record, problems_of
from controlplane.cli.output import Column, Row, counted
from controlplane.results import Outcome

if TYPE_CHECKING:
    from controlplane.rollout_standing import RolloutStanding

ROLLOUT_COLUMNS = (
    Column("SHARE"),
    Column("STATE"),
    Column("STEP"),
    Column("VMS"),
    Column("REACHED"),
    Column("HAVE IT"),
    Column("FAILED"),
    Column("AT IT"),
    Column("SILENT"),
    Column("SINCE", is_wide=True),
    Column("STARTED", is_wide=True),
    Column("BY", is_wide=True),
)


def rollout_row(standing: RolloutStanding) -> Row:
    """Build the line of one rollout."""
    rollout, tally = standing.rollout, standing.tally
    counts = (standing.vms, standing.reached, tally.converged, tally.failed, tally.struggling, tally.silent)
    return Row(
        name=standing.share_id,
        cells=(
            standing.share_id,
            rollout.state.value,
            standing.step,
            *(str(count) for count in counts),
            _instant(rollout.step_at),
            _instant(rollout.started_at),
            rollout.started_by,
        ),
        record=rollout_record(standing),
    )


def rollout_record(standing: RolloutStanding) -> Mapping[str, Any]:
    """Turn a rollout into plain values."""
    rollout, tally = standing.rollout, standing.tally
    return {
        "share": standing.share_id,
        "state": rollout.state.value,
        "step": standing.step,
        "waves": list(rollout.waves),
        "canary": rollout.canary,
        "max_failed": rollout.max_failed,
        "patience_s": rollout.patience_s,
        "vms": standing.vms,
        "reached": standing.reached,
        "converged": tally.converged,
        "failed": tally.failed,
        "struggling": tally.struggling,
        "silent": tally.silent,
        "reason": standing.reason,
        "step_at": _instant(rollout.step_at),
        "started_at": _instant(rollout.started_at),
        "started_by": rollout.started_by,
        "problems": outcome_record(Outcome(failed=standing.problems))["failed"],
    }


def rollout_lines(standing: RolloutStanding, *, now: datetime) -> list[str]:
    """Say where a rollout stands: a line about it, one for each VM reached that does not have it."""
    return [progress_line(standing), *problems_of(Outcome(failed=standing.problems), now=now)]


def progress_line(standing: RolloutStanding) -> str:
    """Say in a line how far a rollout is."""
    tally = standing.tally
    counts = ((tally.failed, "failed"), (tally.struggling, "at it"), (tally.silent, "silent"))
    parts = [f"{tally.converged} of {counted(standing.reached, 'VM')} have it"]
    parts += [f"{number} {word}" for number, word in counts if number]
    reason = f" ({standing.reason})" if standing.reason else ""
    where = "done" if not standing.rollout.is_open else f"{standing.rollout.state.value} at {standing.step}"
    return f"{standing.share_id}: {where}, {', '.join(parts)}, {standing.vms - standing.reached} to come{reason}"


def next_command(standing: RolloutStanding) -> str:
    """Say what an operator may type next, empty where nothing is open."""
    if not standing.rollout.is_open:
        return ""
    share_id = standing.share_id
    match standing.rollout.state.value:
        case "running":
            return f"weft rollout resume {share_id} --wait (or keep weft sync --watch running)"
        case "paused":
            return f"weft rollout resume {share_id} --wait, or weft rollout undo {share_id}"
        case _:
            return f"weft rollout undo {share_id}; or mend it, then weft rollout resume {share_id} --wait"


def _instant(value: datetime | None) -> str:
    return value.isoformat(timespec="seconds") if value is not None else ""
