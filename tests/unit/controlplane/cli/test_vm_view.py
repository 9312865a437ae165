"""VMs as machines."""

from __future__ import annotations

from controlplane.cli.vm_view import backends_text, known_vm_row, vm_card
from controlplane.views import VmView
from weft.wire.ids import ClassName, VmId
from weft.wire.status import AgentInfo, VmStatus

AGENT = AgentInfo(version="0.1.0", backends={"bind": None, "rclone": "1.70.1"})
VIEW = VmView(
    VmId("vm-1"),
    status=VmStatus(vm="vm-1", agent=AGENT, held_revision=4),
    reported_age_s=90.0,
    classes=(ClassName("algebra"),),
)


def test_a_machine_shows_its_agent_and_backends() -> None:
    """With the versions of their clients."""
    assert known_vm_row(VIEW).cells[:6] == ("vm-1", "ok", "90s", "0.1.0", "bind, rclone 1.70.1", "algebra")
    assert vm_card(VIEW)["backends"] == {"bind": None, "rclone": "1.70.1"}


def test_a_machine_that_never_reported_has_nothing_to_show() -> None:
    """Only its name, and that it is silent."""
    silent = VmView(VmId("vm-2"))
    assert (backends_text(silent), known_vm_row(silent).cells[1]) == ("", "silent")
    assert vm_card(silent)["held_revision"] is None
