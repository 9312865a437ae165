"""VMs as machines: what reported when, with which agent and which backends. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controlplane.cli.output import Column, Row, format_age
from controlplane.cli.status_view import vm_state

if TYPE_CHECKING:
    from controlplane.views import VmView

KNOWN_VM_COLUMNS = (
    Column("VM"),
    Column("STATE"),
    Column("REPORTED"),
    Column("AGENT"),
    Column("BACKENDS"),
    Column("CLASSES"),
    Column("HOST", is_wide=True),
    Column("MODE", is_wide=True),
    Column("REVISION", is_wide=True),
    Column("STORED", is_wide=True),
    Column("PROBLEM"),
)


def known_vm_row(view: VmView) -> Row:
    """Build the line of one VM."""
    status = view.status
    return Row(
        name=view.vm,
        cells=(
            view.vm,
            vm_state(view),
            format_age(view.reported_age_s),
            view.agent_version,
            backends_text(view),
            ", ".join(view.classes),
            status.hostname if status is not None else "",
            status.mode if status is not None else "",
            str(status.held_revision) if status is not None else "",
            "" if view.stored_revision is None else str(view.stored_revision),
            view.problem or "",
        ),
        record=vm_card(view),
    )


def backends_text(view: VmView) -> str:
    """Say what a guest can mount: ``bind, rclone 1.70``; what has no client to find is left out."""
    return ", ".join(f"{name} {version}" if version else name for name, version in _backends(view).items())


def _backends(view: VmView) -> dict[str, str | None]:
    agent = view.status.agent if view.status is not None else None
    return dict(agent.backends) if agent is not None else {}


def vm_card(view: VmView) -> dict[str, Any]:
    """Turn everything about a VM as a machine into plain values."""
    status = view.status
    agent = status.agent if status is not None else None
    return {
        "vm": view.vm,
        "state": vm_state(view),
        "problem": view.problem or "",
        "classes": list(view.classes),
        "reported_age_s": None if view.reported_age_s is None else round(view.reported_age_s, 1),
        "hostname": status.hostname if status is not None else "",
        "mode": status.mode.value if status is not None else "",
        "boot_id": status.boot_id if status is not None else "",
        "agent": view.agent_version,
        "agent_started_at": agent.started_at.isoformat() if agent is not None and agent.started_at else "",
        "backends": _backends(view),
        "held_revision": status.held_revision if status is not None else None,
        "stored_revision": view.stored_revision,
        "shares": [share.id for share in status.shares if share.id] if status is not None else [],
    }
