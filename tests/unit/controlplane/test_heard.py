"""What is heard of a VM from its kept reports."""

from __future__ import annotations

import pytest

from controlplane.heard import Heard, build_heard, describe_claim, parse_boot_id, parse_status
from controlplane.stored import StoredMessage
from controlplane.views import VmView
from weft.wire.ids import VmId
from weft.wire.status import ShareState, VmStatus, encode_status


def heard(*boot_ids: str) -> Heard:
    reports = [encode_status(VmStatus(vm="v", boot_id=boot_id)) for boot_id in boot_ids]
    first = build_heard([StoredMessage("s", 1, reports[0], 1.0)])
    for data in reports[1:]:
        first = first.followed_by(data, 2.0)
    return first


@pytest.mark.parametrize(
    ("boot_ids", "claimants"),
    [
        pytest.param(("a",), (), id="one guest"),
        pytest.param(("a", "a", "b", "b"), (), id="a reboot"),
        pytest.param(("a", "b", "c"), (), id="two reboots"),
        pytest.param(("a", "b", "a"), ("a", "b"), id="two guests"),
        pytest.param(("z", "a", "a", "b", "b", "a"), ("a", "b", "z"), id="two guests, one of them rebooted"),
        pytest.param(("a", "", "a"), (), id="a report that does not say"),
    ],
)
def test_only_a_boot_id_that_comes_back_is_another_guest(boot_ids: tuple[str, ...], claimants: tuple[str, ...]) -> None:
    """A reboot never brings an old boot id back."""
    assert heard(*boot_ids).claimants == claimants


def test_the_claim_is_told_in_the_view() -> None:
    """Before anything else that is wrong."""
    view = VmView(VmId("vm-7"), VmStatus(vm="vm-7"), is_stale=True, claimants=("one", "two"))
    assert view.problem == describe_claim(VmId("vm-7"), ["one", "two"]) == "two guests claim vm-7: boot ids one, two"


def test_a_report_with_nulls_is_read_the_slow_way() -> None:
    """As a guest in Go writes it; unknown fields are passed over either way."""
    data = b'{"vm":"v","hostname":null,"new":1,"shares":[{"id":"a","state":"mounted","error":null}]}'
    status = parse_status(data)
    assert status is not None
    assert (status.hostname, status.shares[0].state) == ("", ShareState.MOUNTED)
    assert parse_status(b"{") is None
    assert parse_boot_id(b'{"boot_id":7}') == ""
