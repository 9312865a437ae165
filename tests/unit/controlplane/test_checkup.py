"""What a check-up concludes."""

import pytest

from controlplane.checkup import check_clock, check_guests
from controlplane.views import VmView
from weft.finding import Verdict
from weft.wire.ids import VmId
from weft.wire.status import VmStatus


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "says"),
    [
        pytest.param(0.2, Verdict.GOOD, "agrees", id="together"),
        pytest.param(-3600.0, Verdict.BAD, "3600 s behind", id="behind"),
        pytest.param(90.0, Verdict.BAD, "90 s ahead of", id="ahead"),
    ],
)
def test_a_clock_far_from_the_brokers_is_bad(ahead_s: float, verdict: Verdict, says: str) -> None:
    """An operator's times would mean something else in guests."""
    found = check_clock(ahead_s)
    assert found.verdict is verdict
    assert says in found.message


def test_guests_are_named_by_what_is_wrong_with_them() -> None:
    """Two under one id and silent ones are told apart, each with what to do."""
    views = [
        VmView(VmId("fine"), VmStatus(vm="fine")),
        VmView(VmId("twice"), VmStatus(vm="twice"), claimants=("a", "b")),
        *(VmView(VmId(f"never-{n}")) for n in range(7)),
    ]
    found = {finding.check: finding for finding in check_guests(views)}
    assert set(found) == {"claims", "silent"}
    assert found["claims"].verdict is Verdict.BAD
    assert "twice" in found["claims"].message
    assert found["silent"].message.endswith("never-4 and 2 more")
    assert all(finding.advice for finding in found.values())


def test_guests_that_all_report_are_one_line() -> None:
    """Nothing is to be done."""
    assert [finding.verdict for finding in check_guests([VmView(VmId("a"), VmStatus(vm="a"))])] == [Verdict.GOOD]
