"""What to do with each VM's message."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.decide import (
    DAY_MS,
    Decision,
    Intent,
    Publish,
    Refuse,
    Report,
    Survey,
    Unchanged,
    decide_all,
    next_revision,
    refuse_losses,
)
from controlplane.messages import LastMessage
from controlplane.projection import Projection, project
from controlplane.records import CatalogSnapshot
from tests.unit.controlplane.makers import MARK, NOW_MS, ids, last, record, share, snapshot, vms
from weft.errors import CatalogBehindError, ConfirmationNeededError
from weft.wire.codec import decode_message
from weft.wire.ids import VmId
from weft.wire.mountset import MAX_SHARES, MountSet
from weft.wire.share import share_to_builtins

VM = VmId("vm-1")
MAX_BYTES = 1_000_000


def decide(
    catalog: CatalogSnapshot, before: LastMessage | None, report: Report | None = None, intent: Intent | None = None
) -> Decision:
    survey = Survey({VM: before} if before else {}, {VM: report} if report else {})
    (decision,) = decide_all(
        project(catalog, {}, [VM]), survey, intent or Intent(), catalog=catalog, now_ms=NOW_MS, max_bytes=MAX_BYTES
    )
    return decision


def listing(*share_ids: str, revision: int = 100, **more: Any) -> LastMessage:
    shares = [share_to_builtins(share(share_id)) for share_id in share_ids]
    return last({"vm": VM, "revision": revision, "catalog": {"id": "cat", "seq": 9}, "shares": shares, **more})


def published(decision: Decision) -> MountSet:
    assert isinstance(decision, Publish)
    message = decode_message(decision.data)
    assert isinstance(message, MountSet)
    return message


WITH_A = snapshot(record("a", vms=("vm-1",)))


def test_a_vm_without_a_message_gets_one() -> None:
    """The first message expects that there is none."""
    decision = decide(WITH_A, None)
    message = published(decision)
    assert isinstance(decision, Publish)
    assert decision.expected_seq == 0
    assert message.revision == NOW_MS + 1
    assert [item.id for item in message.shares] == ["a"]


def test_a_vm_that_neither_has_nor_needs_a_message_gets_none() -> None:
    """Naming a VM does not fill the stream."""
    assert decide(snapshot(), None) == Unchanged(VM, 0)


def test_a_vm_that_obeys_something_unknown_gets_an_empty_list() -> None:
    """After the stream was lost, a guest that still holds shares nobody wants must be told."""
    assert published(decide(snapshot(), None, Report(50, ids("old")))).shares == ()


def test_the_same_list_is_not_published_again() -> None:
    """Unchanged means untouched, whatever the revision or catalog sequence say."""
    assert decide(WITH_A, listing("a")) == Unchanged(VM, 100)


def test_the_same_list_written_differently_is_not_published_again() -> None:
    """Order of shares and JSON style carry no meaning."""
    catalog = snapshot(record("a", vms=("vm-1",)), record("b", vms=("vm-1",)))
    assert decide(catalog, listing("b", "a")) == Unchanged(VM, 100)


def test_a_changed_share_is_published_with_the_expected_sequence() -> None:
    """Only over exactly the message that was read."""
    decision = decide(snapshot(record("a", vms=("vm-1",), priority=3)), listing("a"))
    assert isinstance(decision, Publish)
    assert decision.expected_seq == 5
    assert published(decision).catalog == MARK


def test_a_list_with_a_rejected_element_is_replaced() -> None:
    """The same good shares are not enough while something in the message cannot be used."""
    broken = last({"vm": VM, "revision": 1, "shares": [share_to_builtins(share("a")), {"id": "a"}]})
    assert isinstance(decide(WITH_A, broken), Publish)


def test_garbage_is_replaced() -> None:
    """A message that nobody can read is overwritten, at its sequence."""
    decision = decide(WITH_A, last(b"not json"))
    assert isinstance(decision, Publish)
    assert decision.expected_seq == 5


@pytest.mark.parametrize(
    ("last_revision", "held", "want"),
    [
        pytest.param(5, 7, NOW_MS + 1, id="the clock is ahead of both"),
        pytest.param(NOW_MS + 50, 7, NOW_MS + 51, id="the last message is ahead of the clock"),
        pytest.param(5, NOW_MS + 90, NOW_MS + 91, id="the guest is ahead of the stream"),
        pytest.param(NOW_MS + 2 * DAY_MS, 7, NOW_MS + 1, id="a message too far ahead, which no guest obeys"),
    ],
)
def test_revisions_only_grow(last_revision: int, held: int, want: int) -> None:
    """One more than everything the guest may hold."""
    assert next_revision(last_revision, held, NOW_MS) == want


@pytest.mark.parametrize(
    "mark", [pytest.param({"id": "cat", "seq": 11}, id="older"), pytest.param({"id": "other", "seq": 1}, id="another")]
)
def test_a_catalog_that_knows_less_than_the_stream_is_refused(mark: dict[str, Any]) -> None:
    """Whatever was lost from the catalog would be unmounted by absence."""
    before = last({"vm": VM, "revision": 1, "catalog": mark, "shares": []})
    with pytest.raises(CatalogBehindError, match=r"weft import.*weft recover"):
        decide(WITH_A, before)


def test_a_share_whose_record_cannot_be_read_is_not_taken_away() -> None:
    """The VM keeps what it has until somebody mends the record."""
    catalog = snapshot(bad={"share.x": "cannot decode share record"})
    decision = decide(catalog, listing("x"))
    assert isinstance(decision, Refuse)
    assert "'x'" in decision.reason


def test_the_changed_share_stands_at_the_top_level() -> None:
    """An agent that knows only single messages applies it."""
    message = published(decide(WITH_A, listing(), intent=Intent(ids("a"), changed=share("a"))))
    assert message.changed == share("a")


def test_a_share_taken_away_stands_at_the_top_level_as_an_unmount() -> None:
    """So that an agent that knows only single messages lets it go."""
    decision = decide(snapshot(), listing("a"), intent=Intent(ids("a"), changed=share("a")))
    changed = published(decision).changed
    assert changed is not None
    assert changed.is_unmount
    assert changed.mount_point == "/srv/a"


def test_a_share_that_would_overwrite_the_frame_stays_below() -> None:
    """An unknown field named like one of the set's own must not reach the top level."""
    odd = share("a", shares=[])
    decision = decide(snapshot(record("a", vms=("vm-1",), shares=[])), listing(), intent=Intent(ids("a"), changed=odd))
    assert published(decision).changed is None


def test_a_message_gives_up_its_courtesy_before_it_is_too_large() -> None:
    """The share at the top level is left out where only the list fits; a list that does not fit is refused by size."""
    survey, intent = Survey({}, {}), Intent(ids("a"), changed=share("a"))
    projection = project(WITH_A, {}, [VM])
    (whole,) = decide_all(projection, survey, intent, catalog=snapshot(), now_ms=NOW_MS, max_bytes=MAX_BYTES)
    assert isinstance(whole, Publish)
    (smaller,) = decide_all(
        projection, survey, intent, catalog=snapshot(), now_ms=NOW_MS, max_bytes=len(whole.data) - 1
    )
    assert published(whole).changed is not None
    assert published(smaller).changed is None
    assert decide_all(projection, survey, intent, catalog=snapshot(), now_ms=NOW_MS, max_bytes=100) == [
        Refuse(VM, f"its list is too large: {len(smaller.data)} bytes, and the broker takes 100")  # type: ignore[union-attr]
    ]


def test_what_left_the_list_is_named_as_gone() -> None:
    """A guest that got it as a single message would keep it otherwise."""
    assert published(decide(WITH_A, listing("a", "old"))).gone == ("old",)


def test_gone_stays_until_the_guest_has_obeyed() -> None:
    """Named again in every message until the status agrees."""
    changed = snapshot(record("a", vms=("vm-1",), priority=1))
    before = listing("a", gone=["old"])
    assert published(decide(changed, before, Report(99))).gone == ("old",)
    assert published(decide(changed, before, Report(100, ids("a", "old")))).gone == ("old",)
    assert published(decide(changed, before, Report(100, ids("a")))).gone == ()


def test_an_obeyed_gone_alone_is_no_reason_to_publish() -> None:
    """Otherwise every unpublish would cost a second message."""
    assert decide(WITH_A, listing("a", gone=["old"]), Report(100, ids("a"))) == Unchanged(VM, 100)


def test_a_single_unmount_is_made_sure_of() -> None:
    """The guest may never have seen it, so the list names the id as gone."""
    assert published(decide(WITH_A, last({"id": "old", "action": "unmount"}))).gone == ("old",)


def losing(count: int, total: int) -> tuple[Projection, Survey, CatalogSnapshot]:
    names = [VmId(f"vm-{n}") for n in range(total)]
    catalog = snapshot(record("a", vms=tuple(names)))
    before = {vm: listing("a", *(["other"] if n < count else [])) for n, vm in enumerate(names)}
    return project(catalog, {}, names), Survey(before, {}), catalog


@pytest.mark.parametrize(("count", "asks"), [(10, False), (11, True)])
def test_losing_what_was_not_named_asks_above_a_tenth(count: int, asks: bool) -> None:
    """A surprise for many VMs needs somebody's yes."""
    projection, survey, catalog = losing(count, 100)
    decisions = decide_all(projection, survey, Intent(ids("a")), catalog=catalog, now_ms=NOW_MS, max_bytes=MAX_BYTES)
    if not asks:
        refuse_losses(decisions, catalog, [])
        return
    with pytest.raises(ConfirmationNeededError) as caught:
        refuse_losses(decisions, catalog, [])
    assert caught.value.share_ids == ("other",)
    assert len(caught.value.vms) == count


@pytest.mark.parametrize(
    "intent",
    [
        pytest.param(Intent(ids("other")), id="the share is named"),
        pytest.param(Intent(named_vms=vms(*(f"vm-{n}" for n in range(50)))), id="the VMs are named"),
    ],
)
def test_losing_what_was_named_does_not_ask(intent: Intent) -> None:
    """An operator gets what was asked for."""
    projection, survey, catalog = losing(50, 100)
    refuse_losses(
        decide_all(projection, survey, intent, catalog=catalog, now_ms=NOW_MS, max_bytes=MAX_BYTES), catalog, []
    )


def test_a_lost_stream_does_not_hide_a_loss() -> None:
    """Without a last message, what the guest reports of what was published is what it would lose."""
    catalog = snapshot(record("x", vms=("vm-2",)))
    decision = decide(catalog, None, Report(50, ids("x")))
    with pytest.raises(ConfirmationNeededError):
        refuse_losses([decision], snapshot(), [])


def test_a_list_that_no_guest_takes_is_refused_before_it_is_stored() -> None:
    """The guest would refuse it too, but only after the stream had it."""
    many = snapshot(*(record(f"s{number}", vms=("vm-1",)) for number in range(MAX_SHARES + 1)))
    decision = decide(many, None)
    assert isinstance(decision, Refuse)
    assert f"its list has {MAX_SHARES + 1} shares, and a guest takes {MAX_SHARES}" in decision.reason


def test_a_lost_store_does_not_hide_a_loss() -> None:
    """Where the catalog went with the stream, two guests that report a share are believed."""
    reports = {VmId(vm): Report(50, ids("x")) for vm in ("vm-1", "vm-2")}
    projection = project(snapshot(), {}, list(reports))
    decisions = decide_all(
        projection, Survey({}, reports), Intent(), catalog=snapshot(), now_ms=NOW_MS, max_bytes=MAX_BYTES
    )
    with pytest.raises(ConfirmationNeededError, match="2 of 2 VMs"):
        refuse_losses(decisions, snapshot(), [])


def test_what_one_guest_invents_is_no_loss() -> None:
    """Otherwise a guest could have every publish ask, and name in the question whatever it likes."""
    decision = decide(WITH_A, None, Report(50, frozenset({*ids("a"), *ids("invented")})))
    refuse_losses([decision], WITH_A, [])
    assert isinstance(decision, Publish)
    assert decision.lost == frozenset()
