"""The fleet as it changes: a picture of any height, and a line for each change."""

from __future__ import annotations

import pytest

from controlplane.cli.status_live import changes, marks_of, picture
from tests.unit.controlplane.cli.test_status_view import view
from weft.wire.status import ShareState


@pytest.mark.parametrize("height", [3, 8, 12, 24, 60])
def test_a_picture_fits_and_counts_what_does_not(height: int) -> None:
    """Ten thousand VMs on twenty-four lines, the head first, whatever else there is room for."""
    views = [view(f"vm-{n}", ShareState.BACKOFF if n % 2 else ShareState.MOUNTED) for n in range(200)]
    lines = picture(views, (), height=height)
    assert lines[0].startswith("200 VMs: 100 ok, 100 failing")
    assert len(lines) <= height
    if height >= 12:
        assert any(line.startswith("… and ") for line in lines)
        assert any(line.startswith("CLASS") for line in lines)


def test_a_fleet_that_is_well_shows_no_vms() -> None:
    """Only the head and the counts."""
    assert len(picture([view("vm-1", ShareState.MOUNTED)], (), height=40)) == 5


def test_each_change_is_a_line() -> None:
    """The VM's own and each share's; what stays makes none."""
    before = marks_of(view("vm-1", ShareState.MOUNTED, ShareState.MOUNTED))
    now = view("vm-1", ShareState.MOUNTED, ShareState.BACKOFF)
    lines = [line.split(maxsplit=1)[1] for line in changes(now, before, marks_of(now))]
    assert lines == [
        "vm-1   -   failing   unreachable: cannot reach x",
        "vm-1   s1   backoff   unreachable: cannot reach x",
    ]
    assert changes(now, marks_of(now), marks_of(now)) == []


def test_a_share_that_left_is_gone() -> None:
    """It is neither reported nor wanted."""
    before = marks_of(view("vm-1", ShareState.MOUNTED))
    now = view("vm-1")
    assert [line.split()[1:] for line in changes(now, before, marks_of(now))] == [["vm-1", "s0", "gone"]]


def test_growing_silence_is_one_change() -> None:
    """Its length is in the table, and no news."""
    stale = view("vm-1", ShareState.MOUNTED, is_stale=True)
    assert marks_of(stale)[""] == ("stale", "")
