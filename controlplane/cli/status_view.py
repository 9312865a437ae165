"""The fleet as operators see it: counts by class and share, failures by reason, then VM by VM. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from controlplane.cli.output import Column, Row, counted, format_age, format_table, natural
from weft.wire.status import ShareState, ShareStatus
from weft.wire.tolerant import to_builtins

if TYPE_CHECKING:
    from controlplane.status import VmView

NO_CLASS = "-"
GOOD = frozenset({ShareState.MOUNTED, ShareState.SHADOWED, ShareState.EXPIRED})
BAD = frozenset({ShareState.FAILED, ShareState.BACKOFF, ShareState.REJECTED, ShareState.DEGRADED})
SHOWN_VMS = 5
"""How many VMs a group of failures names."""

VM_COLUMNS = (
    Column("VM"),
    Column("STATE"),
    Column("SHARES"),
    Column("REPORTED"),
    Column("REVISION", is_wide=True),
    Column("STORED", is_wide=True),
    Column("MODE", is_wide=True),
    Column("AGENT", is_wide=True),
    Column("HOST", is_wide=True),
    Column("CLASSES", is_wide=True),
    Column("PROBLEM"),
)
SHARE_COLUMNS = (
    Column("SHARE"),
    Column("MOUNT POINT"),
    Column("BACKEND"),
    Column("STATE"),
    Column("TRIES", is_wide=True),
    Column("SINCE", is_wide=True),
    Column("DIGEST", is_wide=True),
    Column("REASON"),
)
COUNT_TITLES = ("CLASS", "SHARE", "VMS", "MOUNTED", "FAILED", "WAITING", "SILENT")


def is_failed(view: VmView) -> bool:
    """Say whether an operator should look at this VM."""
    return view.problem is not None or (
        view.status is not None and any(share.state in BAD for share in view.status.shares)
    )


def vm_state(view: VmView) -> str:
    """Say in one word how a VM is."""
    if view.status is None:
        return "silent"
    if view.is_stale:
        return "stale"
    if is_failed(view):
        return "failing"
    behind = view.stored_revision is not None and view.status.held_revision < view.stored_revision
    return "waiting" if behind or any(s.state not in GOOD for s in view.status.shares) else "ok"


def vm_row(view: VmView) -> Row:
    """Build the line of one VM; its record is the status it sent."""
    status = view.status
    shares = status.shares if status is not None else ()
    stored = "" if view.stored_revision is None else str(view.stored_revision)
    return Row(
        name=view.vm,
        cells=(
            view.vm,
            vm_state(view),
            f"{sum(share.state in GOOD for share in shares)}/{len(shares)}",
            format_age(view.reported_age_s),
            str(status.held_revision) if status is not None else "",
            stored,
            status.mode if status is not None else "",
            view.agent_version,
            status.hostname if status is not None else "",
            ", ".join(view.classes),
            _first_problem(view),
        ),
        record=status_record(view),
    )


def status_record(view: VmView) -> dict[str, Any]:
    """Turn a VM into the record of the contract: what it reported, or just its id where it never did."""
    if view.status is None:
        return {"vm": view.vm, "shares": []}
    return {"vm": view.vm, **to_builtins(view.status), "shares": [to_builtins(share) for share in view.status.shares]}


def _first_problem(view: VmView) -> str:
    failing = (reason_of(share) for share in view.status.shares if share.state in BAD) if view.status else iter(())
    return view.problem or next(failing, "")


def reason_of(share: ShareStatus) -> str:
    """Say why a share is not as it should be: its code and sentence."""
    return f"{share.error.code}: {share.error.message}" if share.error is not None else ""


def share_status_row(share: ShareStatus) -> Row:
    """Build the line of one share in one VM."""
    since = share.since.isoformat(timespec="seconds") if share.since is not None else ""
    return Row(
        name=share.id,
        cells=(
            share.id, share.mount_point, share.backend, share.state, str(share.attempts), since, share.digest[:8],
            reason_of(share),
        ),
        record=to_builtins(share),
    )  # fmt: skip


def counts_table(views: Iterable[VmView], only: Collection[str] = ()) -> str:
    """
    Count, for each class and each share its members report, in how many it is mounted, failed or waiting.

    Args:
        views: The VMs to count; one of no class counts under ``-``.
        only: Classes to count, all of them where empty.
    """
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for view in views:
        for name in view.classes or (NO_CLASS,):
            if not only or name in only:
                for share_id, bucket in _buckets(view):
                    counts[name, share_id][bucket] += 1
    rows = [
        (name, share_id, str(found.total()), *(str(found[b]) for b in ("mounted", "failed", "waiting", "silent")))
        for (name, share_id), found in sorted(counts.items())
    ]
    return format_table(COUNT_TITLES, rows)


def _buckets(view: VmView) -> list[tuple[str, str]]:
    if view.status is None:
        return [(NO_CLASS, "silent")]
    if view.is_stale:
        return [(share.id or NO_CLASS, "silent") for share in view.status.shares] or [(NO_CLASS, "silent")]
    return [(share.id or NO_CLASS, _bucket(share.state)) for share in view.status.shares]


def _bucket(state: ShareState) -> str:
    return "mounted" if state in GOOD else "failed" if state in BAD else "waiting"


def reasons_table(views: Iterable[VmView]) -> str:
    """Group failures by share and reason, the most frequent first; empty where nothing fails."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for view in views:
        if view.problem is not None:
            groups[NO_CLASS, view.problem].append(view.vm)
        for share in view.status.shares if view.status is not None else ():
            if share.state in BAD:
                groups[share.id or NO_CLASS, reason_of(share) or share.state].append(view.vm)
    if not groups:
        return ""
    rows = [
        (counted(len(vms), "VM"), share_id, reason, _few(vms))
        for (share_id, reason), vms in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return format_table(("FAILING", "SHARE", "REASON", "WHERE"), rows)


def _few(vms: Sequence[str]) -> str:
    shown = ", ".join(sorted(vms, key=natural)[:SHOWN_VMS])
    return f"{shown} and {len(vms) - SHOWN_VMS} more" if len(vms) > SHOWN_VMS else shown
