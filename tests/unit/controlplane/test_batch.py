"""The bookkeeping of a fast-ingest batch."""

from __future__ import annotations

import pytest

from controlplane.batch import (
    BATCH_UNKNOWN,
    BATCHES_DISABLED,
    MAX_FLOW,
    MAX_OUTSTANDING_ACKS,
    Batch,
    Op,
    Refused,
    Stored,
    Unknown,
    Unsent,
    place_of,
    reply_subject,
)

FINAL = b'{"stream":"weft-mounts","seq":5,"batch":"b","count":5}'


def sent(size: int, how_many: int | None = None) -> Batch:
    batch = Batch(size)
    batch.sent = size if how_many is None else how_many
    return batch


def on(place: int, op: Op) -> str:
    return reply_subject("_INBOX.x", "b", place, op)


def ack(batch: Batch, seq: int, msgs: int = 10) -> None:
    batch.take(on(1, Op.START), b'{"type":"ack","seq":%d,"msgs":%d}' % (seq, msgs))


def test_reply_subject_carries_place_and_operation() -> None:
    """The server reads flow, mode, place and operation from the reply subject, and answers on the same one."""
    subject = reply_subject("_INBOX.x", "id", 7, Op.APPEND, flow=50)
    assert subject == "_INBOX.x.id.50.ok.7.1.$FI"
    assert place_of(subject) == (7, Op.APPEND)


def test_every_message_is_stored_once_the_end_is_confirmed() -> None:
    """The final answer covers everything that was not refused before."""
    batch = sent(5)
    ack(batch, 0)
    batch.take(on(6, Op.END), FINAL)
    assert batch.is_over
    assert batch.verdicts("unused") == [Stored()] * 5


def test_a_replicated_stream_ends_the_batch_on_its_last_message() -> None:
    """The final answer is known by the batch it names, wherever it arrives."""
    batch = sent(5)
    ack(batch, 0)
    batch.take(on(5, Op.APPEND), FINAL)
    assert batch.is_over
    assert batch.verdicts("unused") == [Stored()] * 5


def test_a_refused_message_is_named_and_the_others_are_stored() -> None:
    """An error frame names a place; the acknowledgement that covers the place does not make it stored."""
    batch = sent(3)
    ack(batch, 0)
    batch.take(
        on(2, Op.APPEND),
        b'{"type":"err","seq":2,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 2"}}',
    )
    ack(batch, 3)
    batch.take(on(4, Op.END), FINAL)
    assert batch.verdicts("") == [Stored(), Refused(10071, "wrong last sequence: 2"), Stored()]


def test_a_message_too_large_for_the_stream_is_named_by_its_reply_subject() -> None:
    """Such an error has no place of its own; the gap that follows does not hide the reason."""
    batch = sent(5)
    ack(batch, 0)
    batch.take(on(3, Op.APPEND), b'{"error":{"code":400,"err_code":10054,"description":"too large"},"seq":0}')
    batch.take(on(4, Op.APPEND), b'{"type":"gap","last_seq":3,"seq":4}')
    batch.take(on(6, Op.END), FINAL)
    assert batch.verdicts("") == [Stored(), Stored(), Refused(10054, "too large"), Stored(), Stored()]


def test_a_gap_without_a_reason_counts_as_not_stored() -> None:
    """What the server says it did not get is not stored, and not unknown either."""
    batch = sent(4)
    batch.take(on(4, Op.APPEND), b'{"type":"gap","last_seq":2,"seq":4}')
    batch.take(on(5, Op.END), FINAL)
    assert [type(verdict) for verdict in batch.verdicts("")] == [Stored, Refused, Refused, Stored]


def test_without_the_end_only_what_was_acknowledged_is_stored() -> None:
    """After a loss, sent and unsent messages are told apart, and neither is called stored."""
    batch = sent(5, how_many=4)
    ack(batch, 2)
    lost = batch.verdicts("lost")
    assert lost == [Stored(), Stored(), Unknown("lost"), Unknown("lost"), Unsent("lost")]


@pytest.mark.parametrize(
    "err_code",
    [pytest.param(BATCHES_DISABLED, id="stream without batches"), pytest.param(BATCH_UNKNOWN, id="batch unknown")],
)
def test_a_batch_that_the_server_does_not_have_is_over_at_once(err_code: int) -> None:
    """There is nothing to wait for, and nothing of it is stored."""
    batch = sent(2)
    for place in (1, 2):
        batch.take(on(place, Op.APPEND), b'{"error":{"code":400,"err_code":%d,"description":"no"}}' % err_code)
    assert batch.is_over
    assert batch.may_send == 0
    assert batch.verdicts("") == [Refused(err_code, "no")] * 2


def test_a_subject_without_a_stream_is_refused() -> None:
    """A bare 503 is the answer where no stream listens."""
    batch = sent(1)
    batch.take(on(1, Op.START), b"", status="503")
    batch.take(on(2, Op.END), b"", status="503")
    assert batch.is_over
    assert batch.verdicts("") == [Refused(0, "no stream takes this subject")]


def test_the_window_follows_the_servers_flow() -> None:
    """Never more than a few acknowledgements ahead, by the count the server last named."""
    batch = Batch(100_000)
    assert batch.may_send == MAX_FLOW * MAX_OUTSTANDING_ACKS
    batch.sent = 30
    ack(batch, 0, msgs=10)
    assert batch.may_send == 0
    ack(batch, 10, msgs=10)
    assert batch.may_send == 10
    ack(batch, 20, msgs=500)
    assert batch.may_send == 20 + 500 * MAX_OUTSTANDING_ACKS - 30


def test_late_acknowledgements_do_not_go_backwards() -> None:
    """A repeated answer, as a ping gets, changes nothing."""
    batch = sent(10)
    ack(batch, 7)
    ack(batch, 3)
    assert batch.acknowledged == 7
