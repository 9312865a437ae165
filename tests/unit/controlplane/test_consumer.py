"""What a consumer delivered is taken in order, and only as far as nothing is missing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from nats.aio.msg import Msg

from controlplane.consumer import Arrived


def delivery(consumer_seq: int) -> Msg:
    """What the broker sends for the message at this place of the consumer's."""
    reply = f"$JS.ACK.weft-events.weft-1.1.{consumer_seq + 40}.{consumer_seq}.1790000000000000000.3"
    return cast(Msg, SimpleNamespace(subject="weft.events.op.x", reply=reply, data=b"{}", headers=None))


def heartbeat(last_consumer_seq: int) -> Msg:
    """What the broker sends when it has nothing."""
    headers = {"Status": "100", "Nats-Last-Consumer": str(last_consumer_seq)}
    return cast(Msg, SimpleNamespace(subject="_INBOX.x", reply="", data=b"", headers=headers))


def taken(*messages: Msg) -> Arrived:
    arrived = Arrived()
    for message in messages:
        arrived.take(message)
    return arrived


def test_deliveries_are_kept_in_order() -> None:
    """Each is there once, and nothing is missing."""
    arrived = taken(delivery(1), delivery(2), heartbeat(2))
    assert [kept.message.seq for kept in arrived.deliveries] == [41, 42]
    assert not arrived.has_gap


def test_nothing_from_behind_a_gap_is_handed_out() -> None:
    """Whoever begins again after the last message that was handed out misses none."""
    arrived = taken(delivery(1), delivery(3), delivery(4))
    assert [kept.message.seq for kept in arrived.deliveries] == [41]
    assert arrived.has_gap


def test_a_heartbeat_tells_of_a_loss_at_the_end() -> None:
    """The broker says how many it has delivered."""
    assert taken(delivery(1), heartbeat(2)).has_gap
