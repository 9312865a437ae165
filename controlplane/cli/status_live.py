"""``weft status -w``: a table that follows the fleet on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from controlplane.cli.output import GAP, NOTHING, format_table, natural
from controlplane.cli.status_view import (
    VM_COLUMNS,
    counts_table,
    first_problem,
    headline,
    reason_of,
    reasons_table,
    states_of,
    status_record,
    vm_cells,
    vm_state,
)
from controlplane.cli.terminal import open_console, picture_text
from controlplane.comparison import compare
from weft.terminal import show, show_json

if TYPE_CHECKING:
    from controlplane.status_watch import StatusWatch
    from controlplane.views import VmView

PAUSE_S = 0.5
"""Between two pictures: a burst of reports is one of them, and ten thousand VMs leave the processor idle in between."""
LOOK_S = 5.0
"""Ages grow, and guests fall silent, also when nobody says anything."""

Chosen = Callable[[Sequence["VmView"]], list["VmView"]]
"""Picks the VMs that are to be shown."""
Mark = tuple[str, ...]


async def show_live(watch: StatusWatch, choose: Chosen, classes: Sequence[str], output: str) -> None:
    """
    Show the fleet until cancelled.

    Args:
        watch: Entered.
        choose: Picks the VMs.
        classes: Classes to count, all of them where empty.
        output: ``json`` for one object per VM that changed.
    """
    if output == "json" or not sys.stdout.isatty():
        await _lines(watch, choose, output)
    else:
        await _picture(watch, choose, classes)


async def _picture(watch: StatusWatch, choose: Chosen, classes: Sequence[str]) -> None:
    from rich.live import Live

    console = open_console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = picture(choose(watch.views()), classes, height=console.height)
            live.update(picture_text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)
            await asyncio.sleep(PAUSE_S)
            await watch.wait(LOOK_S)


def picture(views: Sequence[VmView], classes: Sequence[str], *, height: int) -> list[str]:
    """
    Draw the fleet into *height* lines: the head, then counts, reasons and VMs that need a look, as far as they fit.

    What does not fit is counted in the last line of its part.
    """
    now = datetime.now().astimezone()
    states = states_of(views)
    lines = [f"{headline(states)}{GAP}{now:%H:%M:%S}{GAP}Ctrl-C ends", ""]
    unwell = [view for view in views if states[view.vm] != "ok"]
    parts = [counts_table(views, classes).splitlines(), reasons_table(unwell).splitlines(), _table_of(unwell)]
    for left, part in zip(range(len(parts), 0, -1), parts, strict=True):
        room = (height - len(lines)) // left
        if part:
            lines += [*_cut(part, room - 1), ""]
    return lines[:height]


def _cut(lines: list[str], room: int) -> list[str]:
    if len(lines) <= room:
        return lines
    return [*lines[: max(room - 1, 0)], f"… and {len(lines) - max(room - 1, 0)} more"]


def _table_of(views: Iterable[VmView]) -> list[str]:
    shown = [n for n, column in enumerate(VM_COLUMNS) if not column.is_wide]
    rows = [
        [cells[n] for n in shown]
        for cells in (vm_cells(view) for view in sorted(views, key=lambda view: natural(view.vm)))
    ]
    return format_table([VM_COLUMNS[n].title for n in shown], rows).splitlines() if rows else []


async def _lines(watch: StatusWatch, choose: Chosen, output: str) -> None:
    views = choose(watch.views())
    told: dict[str, dict[str, Mark]] = {}
    if output != "json":
        states = states_of(views)
        show(headline(states))
        told = {view.vm: marks_of(view) for view in views if states[view.vm] == "ok"}
    while True:
        for view in choose(watch.views()):
            marks = marks_of(view)
            before = told.get(view.vm, {})
            if marks == before:
                continue
            told[view.vm] = marks
            if output == "json":
                show_json(json.dumps(status_record(view), ensure_ascii=False, default=str))
                continue
            for line in changes(view, before, marks):
                show(line)
        sys.stdout.flush()
        await asyncio.sleep(PAUSE_S)
        await watch.wait(LOOK_S)


def marks_of(view: VmView) -> dict[str, Mark]:
    """Reduce a VM to what is worth a line: how each share stands, and under ``""`` how the VM itself does."""
    marks: dict[str, Mark] = {"": (vm_state(view), "" if view.is_stale else view.problem or "")}
    for share in compare(view):
        state = share.status.state.value if share.status is not None else share.bucket.value
        reason = reason_of(share.status) if share.status is not None else ""
        marks[share.share_id or NOTHING] = (state, share.departs or reason)
    return marks


def changes(view: VmView, before: dict[str, Mark], now: dict[str, Mark]) -> list[str]:
    """Say in a line each what differs between two looks at a VM."""
    time = datetime.now().astimezone().strftime("%H:%M:%S")
    lines = []
    for share_id in sorted(before.keys() | now.keys()):
        mark = now.get(share_id, ("gone", ""))
        if before.get(share_id) == mark:
            continue
        text = first_problem(view) if not share_id else mark[1]
        lines.append(GAP.join(filter(None, (time, view.vm, share_id or NOTHING, mark[0], text))))
    return lines
