"""What a broker repeats is told from an answer that somebody had come out on the same subject."""

from __future__ import annotations

import pytest

from controlplane.repeats import heard_on, stored_subject

REPEATED = {"republish": {"src": ">", "dest": ">"}}
COPY = {
    "Nats-Stream": "weft-status",
    "Nats-Subject": "weft.status.vm-1",
    "Nats-Sequence": "7",
    "Nats-Time-Stamp": "2026-11-21T16:00:00Z",
    "Nats-Last-Sequence": "3",
}


@pytest.mark.parametrize(
    ("subjects", "heard"),
    [
        ("weft.status.*", "weft.repeated.status.*"),
        ("weft.events.vm.vm-1.>", "weft.repeated.events.vm.vm-1.>"),
        ("$KV.weft-catalog.>", "weft.repeated.catalog.>"),
        ("weft.mounts.vm-1", "weft.live.vm-1"),
    ],
)
def test_a_stream_is_heard_where_it_repeats(subjects: str, heard: str) -> None:
    """A stream that an older weft made repeats nothing, and is heard as its messages are sent."""
    assert heard_on(REPEATED, subjects) == heard
    assert heard_on({}, subjects) == subjects


def test_a_copy_is_known_by_its_headers() -> None:
    """And a message on the stream's own subject is what it is."""
    assert stored_subject("weft.repeated.status.vm-1", COPY) == "weft.status.vm-1"
    assert stored_subject("weft.repeated.status.vm-1", {**COPY, "Nats-Msg-Size": "9"}) == "weft.status.vm-1"
    assert stored_subject("weft.repeated.status.vm-1", {"Nats-Num-Pending": "1", **COPY}) == "weft.status.vm-1"
    assert stored_subject("weft.status.vm-1", None) == "weft.status.vm-1"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(None, id="none"),
        pytest.param(
            {**COPY, "Nats-Subject": "$KV.weft-catalog.share.x", "Nats-Stream": "KV_weft-catalog"}, id="entry"
        ),
        pytest.param({**COPY, "Nats-Subject": "weft.status.vm-2"}, id="another VM's"),
        pytest.param({k: v for k, v in COPY.items() if k != "Nats-Last-Sequence"}, id="an old report, read singly"),
        pytest.param(
            {**{k: v for k, v in COPY.items() if k != "Nats-Last-Sequence"}, "Nats-Num-Pending": "2"}
            | {"Nats-Last-Sequence": "3"},
            id="an old report, read in a batch",
        ),
        pytest.param(
            {"Nats-Last-Sequence": "3", **{k: v for k, v in COPY.items() if k != "Nats-Last-Sequence"}},
            id="an old report that was sent with what a copy has",
        ),
    ],
)
def test_an_answer_is_no_copy(headers: dict[str, str] | None) -> None:
    """An operator may have any answer of JetStream's come out there."""
    assert stored_subject("weft.repeated.status.vm-1", headers) is None
