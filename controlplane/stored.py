"""A message as a stream holds it."""

from __future__ import annotations

import msgspec


class StoredMessage(msgspec.Struct, frozen=True, gc=False):
    """
    A message as a stream holds it; *stored_at_s* is the broker's clock, as a Unix time.

    A struct, because a fleet's reports are tens of thousands of these: making one takes a fifth of a dataclass's time.
    """

    subject: str
    seq: int
    data: bytes
    stored_at_s: float

    def __repr__(self) -> str:
        return f"StoredMessage({self.subject!r}, {self.seq}, {len(self.data)} bytes, {self.stored_at_s})"
