"""The fleet as operators see it."""

from __future__ import annotations

import dataclasses

import pytest

from controlplane.cli.status_view import (
    counts_table,
    headline,
    is_failed,
    next_step,
    reasons_table,
    states_of,
    status_record,
    vm_row,
    vm_state,
)
from controlplane.views import VmView
from weft.errors import ErrorCode
from weft.wire.ids import ClassName, VmId
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus

ALGEBRA = ClassName("algebra")


def view(vm: str, *states: ShareState, held: int = 5, stored: int = 5, is_stale: bool = False) -> VmView:
    """Build a VM of class algebra whose shares s0, s1 … are in *states*; what fails, fails for the same reason."""
    unreachable = ShareError(code=ErrorCode.UNREACHABLE, message="cannot reach x")
    shares = tuple(
        ShareStatus(id=f"s{n}", state=state, error=unreachable if state is ShareState.BACKOFF else None)
        for n, state in enumerate(states)
    )
    status = VmStatus(vm=vm, held_revision=held, shares=shares)
    return VmView(VmId(vm), status, stored, 3.0, is_stale, classes=(ALGEBRA,))


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        pytest.param(VmView(VmId("v")), "silent", id="never reported"),
        pytest.param(view("v", ShareState.MOUNTED, is_stale=True), "stale", id="missed its heartbeats"),
        pytest.param(view("v", ShareState.MOUNTED, ShareState.DEGRADED), "failing", id="one share degraded"),
        pytest.param(view("v", ShareState.MOUNTED, held=4), "waiting", id="behind what is stored"),
        pytest.param(view("v", ShareState.MOUNTING), "waiting", id="still at it"),
        pytest.param(view("v", ShareState.MOUNTED, ShareState.SHADOWED, ShareState.EXPIRED), "ok", id="all as wanted"),
        pytest.param(view("v"), "ok", id="nothing wanted"),
    ],
)
def test_a_vm_is_in_one_state(seen: VmView, state: str) -> None:
    """The worst that is known decides; only waiting and ok need no look."""
    assert vm_state(seen) == state
    assert is_failed(seen) == (state not in ("waiting", "ok"))


def test_counts_are_by_class_and_share() -> None:
    """Each member counts once per share; a VM in no class counts under a dash."""
    views = [
        view("vm-1", ShareState.MOUNTED, ShareState.BACKOFF),
        view("vm-2", ShareState.MOUNTED, ShareState.PENDING),
        view("vm-3", ShareState.MOUNTED, is_stale=True),
        VmView(VmId("vm-4")),
    ]

    assert [line.split() for line in counts_table(views).splitlines()] == [
        ["CLASS", "SHARE", "VMS", "MOUNTED", "FAILED", "WAITING", "SILENT"],
        ["-", "-", "1", "0", "0", "0", "1"],
        ["algebra", "s0", "3", "2", "0", "0", "1"],
        ["algebra", "s1", "2", "0", "1", "1", "0"],
    ]
    assert "algebra" not in counts_table(views, ("physics",))


def test_failures_are_grouped_by_reason_the_most_frequent_first() -> None:
    """One reason is one line, however many VMs have it; a few of them are named, in people's order."""
    views = [view(f"vm-{n}", ShareState.BACKOFF) for n in range(12, 0, -1)] + [VmView(VmId("vm-99"))]

    lines = reasons_table(views).splitlines()

    assert lines[1].split("   ")[0] == "12 VMs"
    assert "unreachable: cannot reach x" in lines[1]
    assert lines[1].endswith("vm-1, vm-2, vm-3, vm-4, vm-5 and 7 more")
    assert lines[2].startswith("1 VM ")
    assert reasons_table([view("v", ShareState.MOUNTED)]) == ""


def test_records_are_what_the_guest_sent() -> None:
    """A VM that never reported still has its id and an empty list; what is known here stands apart."""
    never = status_record(VmView(VmId("v")))
    assert (never.pop("seen")["problem"], never) == ("has never reported", {"vm": "v", "shares": []})
    record = status_record(view("v", ShareState.MOUNTED))
    assert record.pop("seen") == {
        "state": "ok",
        "problem": None,
        "classes": ["algebra"],
        "stored_revision": 5,
        "reported_age_s": 3.0,
        "boot_ids": [],
        "shares": {"s0": {"counts_as": "mounted", "departs": None, "wanted_digest": None}},
    }
    assert record == {"vm": "v", "held_revision": 5, "shares": [{"id": "s0", "state": "mounted"}]}


def test_what_a_newer_guest_says_is_in_its_record() -> None:
    """Tables show what this version knows; the record is the report itself."""
    seen = view("v", ShareState.MOUNTED)
    sent = b'{"vm":"v","mood":"fine","shares":[]}'
    assert status_record(dataclasses.replace(seen, report=sent))["mood"] == "fine"


def test_the_line_of_a_vm_shows_its_first_problem() -> None:
    """What is wrong with the VM itself goes before what is wrong with a share."""
    assert vm_row(view("v", ShareState.BACKOFF)).cells[-1] == "unreachable: cannot reach x"
    assert vm_row(view("v", ShareState.BACKOFF, is_stale=True)).cells[-1] == "has been silent for 3s"
    assert vm_row(view("v", ShareState.MOUNTED, held=4)).cells[-1] == "obeys revision 4, stored is 5"


def test_silent_vms_are_one_line_whenever_they_fell_silent() -> None:
    """A rack that lost its power is one failure."""
    views = [
        dataclasses.replace(view(f"vm-{n}", ShareState.MOUNTED, is_stale=True), reported_age_s=60.0 * n)
        for n in range(3, 6)
    ]
    assert len(reasons_table(views).splitlines()) == 2


@pytest.mark.parametrize(
    ("views", "step"),
    [
        pytest.param([view("v", ShareState.MOUNTED)], "", id="all well"),
        pytest.param(
            [view("vm-10", ShareState.BACKOFF), view("vm-9", ShareState.BACKOFF)],
            "weft status vm-9, and when it is mended: weft retry s0",
            id="a share fails",
        ),
        pytest.param([VmView(VmId("vm-3"))], "systemctl status weft-agent, in vm-3", id="never reported"),
        pytest.param(
            [VmView(VmId("vm-7"), VmStatus(vm="vm-7"), claimants=("a", "b"))],
            "give one of the guests its own id (weft-agent run --vm ID), then weft vm forget vm-7",
            id="two guests with one id",
        ),
    ],
)
def test_the_next_command_is_named(views: list[VmView], step: str) -> None:
    """What is most wrong decides."""
    assert next_step(views) == step


def test_the_head_counts_how_vms_are() -> None:
    """Each VM is in one state."""
    views = [view("a", ShareState.MOUNTED), view("b", ShareState.BACKOFF), VmView(VmId("c"))]
    assert headline(states_of(views)) == "3 VMs: 1 ok, 1 failing, 1 silent"
    assert headline({}) == "no VMs"
