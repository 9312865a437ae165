"""The NATS connection that survives: what both sides of weft use to talk to the broker."""

from weft.link.link import Link, LinkState
from weft.link.options import LinkOptions
from weft.link.subscription import Subscription

__all__ = ["Link", "LinkOptions", "LinkState", "Subscription"]
