"""The actual state as a plan sees it."""

from __future__ import annotations

from dataclasses import dataclass

from agent.actual import Presence
from weft.wire.share import ShareMount

__all__ = ["LiveShare", "Presence"]


@dataclass(frozen=True, slots=True)
class LiveShare:
    """One mount of ours as it is: the spec it was made from, that spec's digest, and whether it is there."""

    share: ShareMount
    digest: str
    presence: Presence = Presence.MOUNTED
