"""Events of the audit trail as bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from weft.errors import DecodeError
from weft.wire.events import Event, FanOutCounts, OperatorEvent, decode_event, encode_event
from weft.wire.ids import VmId
from weft.wire.subjects import event_subject, event_vm, operator_event_subject, vm_events

GOLDEN = Path(__file__).parents[2] / "golden" / "wire"
EVENT = Event(
    vm="vm-7",
    share="docs",
    state="failed",
    code="auth",
    message="cannot mount share 'docs': the key is refused",
    revision=1_790_000_000_123,
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
)
ACT = OperatorEvent(
    who="teacher",
    action="publish",
    name="docs",
    shares=("docs",),
    vms=FanOutCounts(stored=29, failed=1),
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


@pytest.mark.parametrize(("name", "event"), [("event.json", EVENT), ("operator-event.json", ACT)])
def test_an_event_is_written_as_it_was_before(name: str, event: Event | OperatorEvent) -> None:
    """The trail keeps events for weeks, so old bytes must still be read, and new ones look the same."""
    data = (GOLDEN / name).read_bytes()
    assert encode_event(event) == data
    kind: Any = type(event)
    assert decode_event(kind, data) == event


def test_unknown_fields_and_states_are_kept() -> None:
    """A newer guest may say more than this operator knows."""
    newer = b'{"vm":"vm-7","state":"dreaming","code":"tired","depth":3}'
    event = decode_event(Event, newer)
    assert (event.state, event.code, event.extra) == ("dreaming", "tired", {"depth": 3})
    assert encode_event(event) == newer


@pytest.mark.parametrize("data", [b"", b"[]", b'{"share":"a"}', b'{"vm":7}'])
def test_what_is_no_event_is_refused(data: bytes) -> None:
    """Not JSON, no object, no VM, or not a name."""
    with pytest.raises(DecodeError):
        decode_event(Event, data)


def test_the_subject_says_whose_event_and_which() -> None:
    """Two tokens after the VM, so that one kind of event can be listened to in every guest."""
    subject = event_subject(VmId("vm-7"), "share.failed")
    assert subject == "weft.events.vm.vm-7.share.failed"
    assert event_vm(subject) == ("vm-7", "share.failed")
    assert event_vm(operator_event_subject("class.add")) == (None, "class.add")
    assert vm_events(VmId("vm-7")) == "weft.events.vm.vm-7.>"
