"""What Direct Get answers is taken in order, and only where nothing is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.msg import Msg

from controlplane.direct import Answers


def message(seq: int, *, after: int, pending: int | None = 3) -> Msg:
    headers = {
        "Nats-Subject": "weft.events.op.x",
        "Nats-Sequence": str(seq),
        "Nats-Time-Stamp": "2026-01-02T03:04:05.123456789Z",
        "Nats-Last-Sequence": str(after),
    } | ({"Nats-Num-Pending": str(pending)} if pending is not None else {})
    return cast(Msg, SimpleNamespace(headers=headers, data=b"{}"))


def end(status: str = "204", **headers: str) -> Msg:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return cast(Msg, SimpleNamespace(headers={"Status": status, **named}, data=b""))


def taken(*messages: Msg) -> Answers:
    answers = Answers()
    for each in messages:
        answers.take(each)
    return answers


def test_a_portion_is_complete_at_its_end_mark() -> None:
    """Which says whether the stream has more."""
    answers = taken(message(41, after=0), message(44, after=41), end(Nats_Num_Pending="7", Nats_Last_Sequence="44"))
    assert (answers.is_complete, answers.is_end, answers.has_gap) == (True, False, False)
    assert [each.seq for each in answers.portion()] == [41, 44]
    answers.take(end(Nats_Num_Pending="0"))
    assert answers.is_end


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((message(41, after=0), message(44, after=43)), id="in the middle"),
        pytest.param((message(41, after=0), end(Nats_Num_Pending="0", Nats_Last_Sequence="43")), id="at the end"),
        pytest.param((message(44, after=41),), id="at the beginning"),
    ],
)
def test_a_lost_message_is_noticed(messages: tuple[Msg, ...]) -> None:
    """Each answer names the one before it."""
    assert taken(*messages).has_gap


def test_an_older_server_answers_with_one_message() -> None:
    """It says nothing of what is left, so it is asked again from there."""
    answers = taken(message(41, after=0, pending=None))
    assert (answers.is_complete, answers.is_end) == (True, False)


@pytest.mark.parametrize(("status", "is_end"), [("404", True), ("503", True)])
def test_nothing_is_an_answer_too(status: str, is_end: bool) -> None:
    """No message, or nobody who answers Direct Get for this stream."""
    answers = taken(end(status))
    assert (answers.is_complete, answers.is_end, answers.has_no_responder) == (True, is_end, status == "503")


def test_another_refusal_is_said() -> None:
    """With the broker's own words."""
    assert taken(end("408", Description="Bad Request")).problem == "bad request (408)"
