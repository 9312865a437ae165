"""What a VM is expected to report after a fan-out."""

from __future__ import annotations

from controlplane.decide import Report
from controlplane.projection import ProjectedShare
from controlplane.rounds import expected_of
from tests.unit.controlplane.makers import last, share
from weft.wire.digest import share_digest
from weft.wire.ids import ShareId

DOCS, TOOLS, OTHER = ShareId("docs"), ShareId("tools"), ShareId("other")
NOBODY: frozenset[ShareId] = frozenset()
HAS_TOOLS = last({"revision": 3, "shares": [{"id": "tools"}], "gone": []})


def test_what_is_listed_is_expected_with_its_digest_and_what_left_the_list_is_expected_gone() -> None:
    """That is all there is to expect where a change is about no share in particular."""
    expected = expected_of([ProjectedShare(share("docs"))], HAS_TOOLS, Report(3, frozenset({OTHER})), NOBODY)
    assert expected == {DOCS: share_digest(share("docs")), TOOLS: None}


def test_of_many_shares_a_vm_is_expected_to_report_only_those_it_knows() -> None:
    """A key that ten thousand shares use is rotated for ten thousand VMs, each of which has three of them."""
    about = frozenset({DOCS, TOOLS, *(ShareId(f"s{number}") for number in range(1000))})
    assert expected_of([ProjectedShare(share("docs"))], HAS_TOOLS, None, about).keys() == {DOCS, TOOLS}


def test_a_share_that_a_guest_still_reports_is_expected_gone_although_no_list_has_it() -> None:
    """It was withdrawn a moment ago, and is not down yet."""
    expected = expected_of([], last({"revision": 4, "shares": [], "gone": ["tools"]}), None, frozenset({TOOLS}))
    assert expected == {TOOLS: None}
    assert expected_of([], None, Report(4, frozenset({TOOLS})), frozenset({TOOLS})) == {TOOLS: None}


def test_a_share_that_came_as_a_single_message_is_expected_gone_once_it_is_named() -> None:
    """No list ever had it."""
    single = last(b'{"id":"tools","mount_point":"/srv/tools","cubefs":{"volume":"v","masters":["m:1"],"owner":"o"}}')
    assert expected_of([], single, None, frozenset({TOOLS})) == {TOOLS: None}
