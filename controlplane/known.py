"""Which VMs anybody has heard of (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from controlplane.decide import Survey
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot
from controlplane.roster import unknown
from weft.wire.ids import VmId

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
