"""What a fan-out and a wait did, as lines for people and records for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.cli.output import GAP, NOTHING, counted, natural
from controlplane.results import FanOut, Outcome, VmProblem


def summary_of(fan_out: FanOut, *, what: str, dry_run: bool = False) -> str:
    """Say in one line what a fan-out did; *what* as in ``published docs``."""
    stored = "to change" if dry_run else "stored"
    counts = [
        f"{len(vms)} {word}"
        for word, vms in (
            (stored, fan_out.stored),
            ("unchanged", fan_out.unchanged),
            ("failed", fan_out.failed),
            ("unknown", fan_out.unknown),
        )
        if vms or word == stored
    ]
    return f"{what}: {counted(len(fan_out.vms), 'VM')} ({', '.join(counts)})"


def trouble_of(fan_out: FanOut) -> list[str]:
    """Say for each VM whose state is not known to be stored why, one line each."""
    troubled = [(vm, "not stored", why) for vm, why in fan_out.failed.items()]
    troubled += [(vm, "unknown", why) for vm, why in fan_out.unknown.items()]
    return _aligned(sorted(troubled, key=lambda line: natural(line[0])))


def changes_of(fan_out: FanOut) -> list[str]:
    """Say for each VM what a fan-out that only looked would change, one line each."""
    return _aligned(
        [
            (vm, "change" if vm in fan_out.stored else "unchanged", _expected(fan_out.expected.get(vm, {})))
            for vm in sorted({*fan_out.stored, *fan_out.unchanged}, key=natural)
        ]
    )


def _expected(expected: Mapping[Any, str | None]) -> str:
    return ", ".join(
        f"{share} gone" if digest is None else f"{share} ({digest[:8]})" for share, digest in sorted(expected.items())
    )


def verdict_of(outcome: Outcome, *, timeout_s: float) -> str:
    """Say in one line how a wait ended."""
    total = len(outcome.converged) + len(outcome.failed) + len(outcome.waiting)
    if outcome.is_converged:
        return f"converged: {counted(total, 'VM')}"
    return (
        f"not converged: {len(outcome.converged)} of {counted(total, 'VM')} within {timeout_s:g} s, "
        f"{len(outcome.failed)} failed, {len(outcome.waiting)} waiting"
    )


def problems_of(outcome: Outcome, *, now: datetime) -> list[str]:
    """Say for each VM that has not converged why and when it is tried again, one line each."""
    problems = {**outcome.waiting, **outcome.failed}
    return _aligned([_problem_cells(problems[vm], now) for vm in sorted(problems, key=natural)])


def next_step(outcome: Outcome) -> str:
    """Name the command to run next, empty where every VM has converged."""
    if outcome.failed:
        vm = min(outcome.failed, key=natural)
        share_id = outcome.failed[vm].share_id
        return f"weft status {vm}" + (f", and when it is mended: weft retry {share_id} --wait" if share_id else "")
    return f"weft status {min(outcome.waiting, key=natural)}" if outcome.waiting else ""


def _problem_cells(problem: VmProblem, now: datetime) -> tuple[str, ...]:
    message = problem.message
    if problem.retry_at is not None:
        message += f"; next try {_when(problem.retry_at, now)}"
    return (problem.vm, problem.share_id or NOTHING, problem.state or NOTHING, problem.code or NOTHING, message)


def _when(instant: datetime, now: datetime) -> str:
    seconds = round((instant - now).total_seconds())
    return f"in {seconds} s" if seconds > 0 else "now"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Align cells in columns; a column that says nothing in any row is left out."""
    lines = [[" ".join(str(cell).split()) for cell in row] for row in rows]
    shown = [n for n in range(len(rows[0]) if rows else 0) if any(line[n] not in ("", NOTHING) for line in lines)]
    widths = [max(len(line[n]) for line in lines) for n in shown]
    return [GAP.join(line[n].ljust(width) for n, width in zip(shown, widths, strict=True)).rstrip() for line in lines]


def fan_out_record(fan_out: FanOut) -> dict[str, Any]:
    """Turn a fan-out into plain values."""
    return {
        "shares": list(fan_out.share_ids),
        "stored": dict(fan_out.stored),
        "unchanged": dict(fan_out.unchanged),
        "failed": dict(fan_out.failed),
        "unknown": dict(fan_out.unknown),
        "warnings": list(fan_out.warnings),
    }


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Turn the end of a wait into plain values."""
    return {
        "converged": sorted(outcome.converged),
        "failed": {vm: _problem_record(problem) for vm, problem in sorted(outcome.failed.items())},
        "waiting": {vm: _problem_record(problem) for vm, problem in sorted(outcome.waiting.items())},
    }


def _problem_record(problem: VmProblem) -> dict[str, Any]:
    return {
        "share": problem.share_id,
        "state": problem.state,
        "code": problem.code,
        "message": problem.message,
        "retry_at": problem.retry_at.isoformat() if problem.retry_at else None,
    }
