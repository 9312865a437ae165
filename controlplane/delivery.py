"""How a consumer's message says where it comes from: the reply subject of JetStream's deliveries."""

from __future__ import annotations

from typing import Self

import msgspec
from nats.aio.msg import Msg

from controlplane.stored import StoredMessage

_PREFIX = "$JS.ACK."


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """
    One message that a consumer delivered.

    Attributes:
        message: As the stream holds it.
        consumer_seq: Its place among the consumer's deliveries, from 1; a missing one was lost on the way.
        pending: How many more the consumer has for now.
    """

    message: StoredMessage
    consumer_seq: int
    pending: int

    @classmethod
    def parse(cls, msg: Msg) -> Self | None:
        """Read a delivery; None for the server's own messages, such as heartbeats."""
        if not msg.reply.startswith(_PREFIX):
            return None
        tokens = msg.reply.split(".")
        # Nine tokens from older servers and single accounts, else two more in front and one behind.
        first = 5 if len(tokens) == 9 else 7
        stream_seq, consumer_seq, stored_ns, pending = tokens[first : first + 4]
        message = StoredMessage(msg.subject, int(stream_seq), msg.data, int(stored_ns) / 1e9)
        return cls(message, int(consumer_seq), int(pending))
