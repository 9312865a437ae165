"""Differences between catalog, stream and guests as operators see them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from controlplane.cli.output import Column, Row, counted, natural
from controlplane.differences import Difference, Side

if TYPE_CHECKING:
    from controlplane.comparing import Comparison
    from controlplane.results import Outcome

DIFFERENCE_COLUMNS = (Column("VM"), Column("SIDE"), Column("SHARE"), Column("DIFFERENCE"))


def difference_rows(differences: Iterable[Difference]) -> list[Row]:
    """Build one line for each difference, VMs in the order people expect."""
    ordered = sorted(differences, key=lambda item: (natural(item.vm), item.side, item.share_id))
    return [
        Row(
            name=item.vm,
            cells=(item.vm, item.side, item.share_id, item.what),
            record={"vm": item.vm, "side": item.side.value, "share": item.share_id, "difference": item.what},
        )
        for item in ordered
    ]


def verdict_of(found: Comparison) -> list[str]:
    """Say in a line how far they agree, and what to do next."""
    looked_at = counted(len(found.vms), "VM")
    if not found.differences:
        return [f"no differences: {looked_at}"]
    wrong = {side: {item.vm for item in found.differences if item.side is side} for side in Side}
    counts = [f"{len(vms)} in the {side}" for side, vms in wrong.items() if vms]
    next_step = "weft sync" if wrong[Side.STREAM] else "weft status --failed"
    return [f"{looked_at} compared: {', '.join(counts)} differ", f"  try: {next_step}"]


def guest_lines(standing: Iterable[Outcome]) -> list[str]:
    """Say how many guests have what is stored for them, and where to look where some have not."""
    lines = []
    for outcome in standing:
        total = len(outcome.converged) + len(outcome.failed) + len(outcome.waiting)
        if not total:
            continue
        lines.append(
            f"guests: {len(outcome.converged)} of {counted(total, 'VM')} have what is stored"
            + (f", {len(outcome.failed)} failed" if outcome.failed else "")
            + (f", {len(outcome.waiting)} have not reported it" if outcome.waiting else "")
        )
        if not outcome.is_converged:
            lines.append("  try: weft diff")
    return lines
