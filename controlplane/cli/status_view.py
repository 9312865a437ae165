"""The fleet as operators see it: counts by class and share, failures by reason, then VM by VM. Pure."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from controlplane.cli.output import NOTHING, Column, Row, counted, format_age, format_table, natural
from controlplane.comparison import BAD, GOOD, Bucket, ShareView, buckets, compare, missing
from controlplane.plain_values import is_shallow
from weft.wire.status import ShareState, ShareStatus, VmStatus
from weft.wire.tolerant import to_builtins

if TYPE_CHECKING:
    from controlplane.views import VmView

NO_CLASS = NOTHING
SHOWN_VMS = 5
"""How many VMs a group of failures names."""
SHOWN_STRANGERS = 20
"""Shares counted one by one although no list has them; of more, only how many there are."""
SHOWN_REASONS = 200
AS_SENT_BYTES = 256 * 1024
"""A thousand shares. A larger report is shown as far as it is read."""
MOST_LEVELS = 16
"""A report has five; what a newer agent adds may have a few of its own."""
STATES = ("ok", "waiting", "failing", "stale", "silent")

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
    Column("WANTED", is_wide=True),
    Column("REASON"),
)
SEEN_FIELDS: Mapping[str, str] = {
    "state": "`ok`, `waiting`, `failing`, `stale` (missed three heartbeats) or `silent` (never reported).",
    "problem": "What is wrong with the VM itself, or null.",
    "classes": "Classes it is in.",
    "stored_revision": "Revision of the list stored for it, or null. Above `held_revision`, the guest is behind.",
    "reported_age_s": "Seconds since its last report, by the broker's clock, or null.",
    "boot_ids": "Of the guests that take turns under this id; empty for one guest.",
    "shares": "By share id: how it stands beside the stored list.",
    "shares.ID.counts_as": "`mounted`, `failed`, `waiting` or `silent`.",
    "shares.ID.departs": "How it departs from the stored list, or null.",
    "shares.ID.wanted_digest": "What `digest` should be, or null.",
}
"""What stands under ``seen`` in a record of ``weft status -o json``."""
COUNT_TITLES = ("CLASS", "SHARE", "VMS", "MOUNTED", "FAILED", "WAITING", "SILENT")


def is_failed(view: VmView) -> bool:
    """Say whether an operator should look at this VM."""
    return view.problem is not None or (
        view.status is not None and any(share.state in BAD for share in view.status.shares)
    )


def vm_state(view: VmView) -> str:
    """Say in one word, one of :data:`STATES`, how a VM is."""
    if view.status is None:
        return "silent"
    if view.is_stale:
        return "stale"
    if is_failed(view):
        return "failing"
    waits = view.is_behind or missing(view) or any(share.state not in GOOD for share in view.status.shares)
    return "waiting" if waits else "ok"


def vm_row(view: VmView) -> Row:
    """Build the line of one VM; its record is the status it sent, and how it is seen here."""
    return Row(view.vm, vm_cells(view), status_record(view))


def vm_cells(view: VmView) -> tuple[str, ...]:
    """Build the cells of :data:`VM_COLUMNS` for one VM."""
    status = view.status
    shares = status.shares if status is not None else ()
    return (
        view.vm,
        vm_state(view),
        f"{sum(share.state in GOOD for share in shares)}/{len(shares)}",
        format_age(view.reported_age_s),
        str(status.held_revision) if status is not None else "",
        "" if view.stored_revision is None else str(view.stored_revision),
        status.mode if status is not None else "",
        view.agent_version,
        status.hostname if status is not None else "",
        ", ".join(view.classes),
        first_problem(view),
    )


def status_record(view: VmView) -> dict[str, Any]:
    """
    Turn a VM into the record of the contract: what it reported, or just its id where it never did.

    Under ``seen`` stands what only the operator's side knows.
    """
    record: dict[str, Any] = {"vm": view.vm, "shares": []}
    if view.status is not None:
        record |= {**_sent(view, view.status), "vm": view.vm}
    return record | {"seen": _seen(view)}


def _sent(view: VmView, status: VmStatus) -> dict[str, Any]:
    """Return a report as it was sent, or as far as it is read where it is not what an agent writes."""
    if view.report and not view.left_out and len(view.report) <= AS_SENT_BYTES:
        with contextlib.suppress(RecursionError):
            sent = msgspec.json.decode(view.report)
            if is_shallow(sent, MOST_LEVELS):
                return {**sent, "shares": list(sent.get("shares") or ())}
    return {"shares": [], **to_builtins(status)}


def _seen(view: VmView) -> dict[str, Any]:
    shares = {
        share.share_id: {
            "counts_as": share.bucket.value,
            "departs": share.departs or None,
            "wanted_digest": share.wanted_digest or None,
        }
        for share in compare(view)
        if share.share_id
    }
    return {
        "state": vm_state(view),
        "problem": view.problem,
        "classes": list(view.classes),
        "stored_revision": view.stored_revision,
        "reported_age_s": None if view.reported_age_s is None else round(view.reported_age_s, 1),
        "boot_ids": list(view.claimants),
        "shares": shares,
    }


def first_problem(view: VmView) -> str:
    """Say what is most worth knowing about a VM, empty for nothing."""
    if view.problem is not None:
        return view.problem
    failing = (reason_of(share) for share in view.status.shares if share.state in BAD) if view.status else iter(())
    found = next(failing, "")
    if not found and view.is_behind and view.status is not None:
        return f"obeys revision {view.status.held_revision}, stored is {view.stored_revision}"
    return found


def reason_of(share: ShareStatus) -> str:
    """Say why a share is not as it should be: its code and sentence."""
    return f"{share.error.code}: {share.error.message}" if share.error is not None else ""


def share_rows(view: VmView) -> list[Row]:
    """Build a line for each share that a VM has or should have."""
    return [_share_row(share) for share in compare(view)]


def _share_row(share: ShareView) -> Row:
    status = share.status or ShareStatus(id=share.share_id, state=ShareState.PENDING)
    since = status.since.isoformat(timespec="seconds") if status.since is not None else ""
    retry_at = status.error.retry_at if status.error is not None else None
    reason = "; ".join(
        filter(None, (share.departs, reason_of(status), f"next try {retry_at:%H:%M:%S} UTC" if retry_at else ""))
    )
    return Row(
        name=share.share_id,
        cells=(
            share.share_id,
            status.mount_point,
            status.backend,
            status.state if share.status is not None else "",
            str(status.attempts),
            since,
            status.digest[:8],
            share.wanted_digest[:8],
            reason,
        ),
        record=to_builtins(status),
    )


def vm_card(view: VmView) -> dict[str, Any]:
    """Collect what there is to know about one VM beside its shares."""
    status = view.status
    agent = status.agent if status is not None else None
    backends = agent.backends if agent is not None else {}
    reported = f"{format_age(view.reported_age_s)} ago" if view.reported_age_s is not None else "never"
    return {
        "state": vm_state(view),
        "problem": view.problem,
        "classes": list(view.classes),
        "host": status.hostname if status is not None else None,
        "reported": reported,
        "revision": f"{status.held_revision} obeyed" if status is not None else None,
        "stored": view.stored_revision,
        "connection": status.mode.value if status is not None else None,
        "agent": f"{agent.version}, started {agent.started_at:%Y-%m-%d %H:%M:%S} UTC"
        if agent is not None and agent.started_at is not None
        else view.agent_version,
        "backends": ", ".join(f"{name} {version or '(none)'}" for name, version in sorted(backends.items())),
    }


def states_of(views: Iterable[VmView]) -> dict[str, str]:
    """Say in one word for each VM how it is."""
    return {view.vm: vm_state(view) for view in views}


def headline(states: Mapping[str, str]) -> str:
    """Say in one line how many VMs are how."""
    counts = Counter(states.values())
    shown = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    return f"{counted(len(states), 'VM')}: {shown}" if states else "no VMs"


def counts_table(views: Sequence[VmView], only: Collection[str] = ()) -> str:
    """
    Count, for each class and each share its members have or should have, in how many it is mounted, failed or waiting.

    Args:
        views: The VMs to count; one of no class counts under ``-``.
        only: Classes to count, all of them where empty.
    """
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for view in views:
        found_here = _buckets(view)
        for name in view.classes or (NO_CLASS,):
            if not only or name in only:
                for share_id, bucket in found_here:
                    counts[name, share_id][bucket] += 1
    listed = {str(share_id) for view in views if view.wanted is not None for share_id in view.wanted.ids}
    rows = [
        (name, share_id, str(found.total()), *(str(found[bucket]) for bucket in Bucket))
        for (name, share_id), found in sorted(_pooled(counts, listed).items())
    ]
    return format_table(COUNT_TITLES, rows)


def _pooled(
    counts: Mapping[tuple[str, str], Counter[str]], listed: Collection[str]
) -> Mapping[tuple[str, str], Counter[str]]:
    """Count shares that no list has together, where there are many: a guest reports what it likes."""
    strangers = {share_id for _, share_id in counts if share_id not in listed and share_id != NO_CLASS}
    if len(strangers) <= SHOWN_STRANGERS:
        return counts
    pooled: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for (name, share_id), found in counts.items():
        pooled[name, f"({len(strangers)} unpublished)" if share_id in strangers else share_id] += found
    return pooled


def _buckets(view: VmView) -> list[tuple[str, Bucket]]:
    found = [(share_id or NO_CLASS, bucket) for share_id, bucket in buckets(view)]
    if found or (view.status is not None and not view.is_stale):
        return found
    return [(NO_CLASS, Bucket.SILENT)]


def reasons_table(views: Iterable[VmView]) -> str:
    """Group failures by share and reason, the most frequent first; empty where nothing fails."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for view in views:
        if view.problem is not None:
            groups[NO_CLASS, _grouped(view)].append(view.vm)
        for share in view.status.shares if view.status is not None else ():
            if share.state in BAD:
                groups[share.id or NO_CLASS, reason_of(share) or share.state].append(view.vm)
    if not groups:
        return ""
    rows = [
        (counted(len(vms), "VM"), share_id, reason, _few(vms))
        for (share_id, reason), vms in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    if len(rows) > SHOWN_REASONS:
        rows = [*rows[:SHOWN_REASONS], (f"and {len(rows) - SHOWN_REASONS} more", "", "", "")]
    return format_table(("FAILING", "SHARE", "REASON", "WHERE"), rows)


def _grouped(view: VmView) -> str:
    """Return the VM's problem without what differs from VM to VM, so that a silent rack is one line."""
    problem = view.problem or ""
    return "is silent" if view.is_stale and not view.claimants else problem


def _few(vms: Sequence[str]) -> str:
    shown = ", ".join(sorted(vms, key=natural)[:SHOWN_VMS])
    return f"{shown} and {len(vms) - SHOWN_VMS} more" if len(vms) > SHOWN_VMS else shown


def next_step(views: Sequence[VmView]) -> str:
    """Name the command to run next, empty where everything is as it should be."""
    failing: Mapping[str, list[VmView]] = defaultdict(list)
    for view in views:
        failing[vm_state(view)].append(view)
    claimed = next((view for view in views if view.claimants), None)
    if claimed is not None:
        return f"give one of the guests its own id (weft-agent run --vm ID), then weft vm forget {claimed.vm}"
    if failing["failing"]:
        first = min(failing["failing"], key=lambda view: natural(view.vm))
        shares = first.status.shares if first.status is not None else ()
        broken = next((share.id for share in shares if share.state in BAD and share.id), None)
        return f"weft status {first.vm}" + (f", and when it is mended: weft retry {broken}" if broken else "")
    if failing["stale"] or failing["silent"]:
        first = min((*failing["stale"], *failing["silent"]), key=lambda view: natural(view.vm))
        return f"systemctl status weft-agent, in {first.vm}"
    return "weft sync" if failing["waiting"] and all(not view.is_behind for view in failing["waiting"]) else ""
