"""The audit trail as lines and records. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_never

from controlplane.authorship import shown_author
from controlplane.cli.output import GAP, NOTHING, counted
from weft.wire.events import Event, OperatorEvent
from weft.wire.tolerant import to_builtins

if TYPE_CHECKING:
    from controlplane.trail import TrailEntry

TITLES = ("TIME", "WHO", "EVENT", "SHARE", "MESSAGE")
WIDTHS = (19, 14, 17, 14, 0)
"""Lines are printed as they come, so that columns cannot follow the longest cell."""


def title_line() -> str:
    """Return the heads of the columns."""
    return _line(TITLES)


def entry_line(entry: TrailEntry) -> str:
    """Say one event in one line, at the time it was stored, in the reader's time zone."""
    event = entry.event
    time = entry.stored_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    match event:
        case Event():
            message = f"{event.code}: {event.message}" if event.code else event.message
            return _line((time, event.vm, entry.kind, event.share, message))
        case OperatorEvent():
            share = ", ".join(event.shares)
            about = "" if event.name in (share, " ".join(event.shares)) else event.name
            who = shown_author(entry.checked, event.who)
            return _line((time, who, entry.kind, share, "; ".join(filter(None, (about, _counts(event))))))
        case _:
            assert_never(event)


def _counts(event: OperatorEvent) -> str:
    if event.vms is None:
        return ""
    counts = {name: getattr(event.vms, name) for name in ("stored", "unchanged", "failed", "unknown")}
    shown = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    return f"{counted(sum(counts.values()), 'VM')} ({shown})" if shown else ""


def _line(cells: tuple[str, ...]) -> str:
    return GAP.join(
        (" ".join(cell.split()) or NOTHING).ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)
    ).rstrip()


def entry_record(entry: TrailEntry) -> dict[str, Any]:
    """Turn an event into plain values: what was stored, and where and when."""
    return {
        "seq": entry.seq,
        "stored_at": _instant(entry.stored_at),
        "by": "operator" if isinstance(entry.event, OperatorEvent) else "guest",
        "event": entry.kind,
        **({"checked_who": entry.checked} if isinstance(entry.event, OperatorEvent) else {}),
        **to_builtins(entry.event),
    }


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
