"""Which VMs anybody has heard of (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from controlplane.decide import Survey
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot
from controlplane.roster import unknown
from controlplane.views import format_length
from weft.wire.ids import ShareId, VmId

CLOCK_DIFFERENCE_S = 300.0
"""More than any synchronised clock is off by."""
SUGGESTIONS = 3
"""Looking for similar names among ten thousand takes a tenth of a second each."""


def mentioned_vms(snapshot: CatalogSnapshot) -> frozenset[VmId]:
    """Name every VM that the catalog mentions outside classes."""
    named = (VmId(vm) for record in snapshot.shares.values() for vm in record.targets.vms)
    return frozenset(named).union(snapshot.vms)


def concerned_vms(snapshot: CatalogSnapshot, members: Members, survey: Survey) -> frozenset[VmId]:
    """Name every VM that gets something, was sent something, or obeys something."""
    getting = (receivers(record, members) for record in snapshot.shares.values())
    obeying = (vm for vm, report in survey.reports.items() if report.held_revision)
    return frozenset(survey.last).union(obeying, *getting)


def warn_of_clock(ahead_s: float) -> tuple[str, ...]:
    """Warn about a clock so wrong that times which an operator gives mean something else to guests."""
    if abs(ahead_s) < CLOCK_DIFFERENCE_S:
        return ()
    side = "ahead of" if ahead_s > 0 else "behind"
    return (f"the clock of this machine is {format_length(abs(ahead_s))} {side} the broker's",)


def lingering(survey: Survey, share_ids: Collection[ShareId], snapshot: CatalogSnapshot, members: Members) -> set[VmId]:
    """Name every VM whose last message gives it one of the shares, although the catalog does not."""
    found: set[VmId] = set()
    for share_id in share_ids:
        record = snapshot.shares.get(share_id)
        rightly = receivers(record, members) if record is not None else frozenset()
        found.update(vm for vm, last in survey.last.items() if share_id in last.share_ids and vm not in rightly)
    return found


def narrowed(survey: Survey, vms: Collection[VmId]) -> Survey:
    """Leave out of *survey* everybody but *vms*."""
    return Survey(
        last={vm: last for vm, last in survey.last.items() if vm in vms},
        reports={vm: report for vm, report in survey.reports.items() if vm in vms},
    )


def warn_never_heard(
    named: Collection[VmId], survey: Survey, snapshot: CatalogSnapshot, reporting: Collection[VmId]
) -> tuple[str, ...]:
    """Warn about VMs that were named and never reported: they may be misspelt; *reporting* are those that did."""
    silent = [vm for vm in named if vm not in survey.reports]
    if len(silent) > SUGGESTIONS:
        shown = ", ".join(silent[:SUGGESTIONS])
        return (f"{shown} and {len(silent) - SUGGESTIONS} more VMs have never reported",)
    known = mentioned_vms(snapshot).union(reporting, *snapshot.members.values())
    return tuple(f"{vm} has never reported{_meant(vm, known - {vm})}" for vm in silent)


def _meant(vm: VmId, known: Iterable[VmId]) -> str:
    nearest: Sequence[str] = unknown("VM", vm, known).nearest
    return f" (did you mean {' or '.join(nearest)}?)" if nearest else ""
