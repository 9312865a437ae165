"""How much of the broker one user, and one account, may take. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.auth.roles import STREAMS, Account, Role, passages_of

UNLIMITED = -1

GUEST_SUBSCRIPTIONS = 32
"""Of one connection. An agent needs three or four; a guest that loops must not fill the broker."""
SUBSCRIPTIONS = 1000
"""Of one connection of an operator: one for each question under way, and a few that last."""
GUEST_PAYLOAD_BYTES = 1024 * 1024
"""
A report of a thousand failed shares takes half of it. Three are kept of each VM, so one guest fills 3 MiB of what is
stored, where the broker's own limit would let it fill 24. What a guest receives is not limited by it.
"""
CONNECTIONS: Mapping[Account, int] = {
    Account.GUESTS: 25_000,
    Account.OPERATORS: 1_000,
    Account.OBSERVERS: 1_000,
    Account.CONTROL: 100,
}
"""
Ten thousand guests twice over, since after a power cut the broker still counts the connections it has not missed yet,
and some to spare. All together stay below the 65,536 that a server takes, so guests never shut operators out.
"""
MEMORY_BYTES = 16 * 1024 * 1024
"""
Weft's streams are on disk. Less than a broker has: at a reload it counts one byte more for an account that had no limit
before, refuses the account's new limits for it, and says so in its log alone (2.15).
"""


def user_limits_of(role: Role) -> dict[str, Any]:
    """Return what one connection of a user with *role* may take, as a token's template says it."""
    if role is Role.GUEST:
        return {"subs": GUEST_SUBSCRIPTIONS, "data": UNLIMITED, "payload": GUEST_PAYLOAD_BYTES}
    # A list may be as large as the broker takes, and who only foresees one must be told the same limit.
    return {"subs": SUBSCRIPTIONS, "data": UNLIMITED, "payload": UNLIMITED}


def limits_of(account: Account | None) -> dict[str, Any]:
    """
    Return what all users of *account* together may take; None is the broker's own account.

    Only the account of the streams has JetStream, and no more streams than weft's own.
    """
    if account is None:
        return _limits(connections=UNLIMITED, imports=UNLIMITED, exports=UNLIMITED)
    if account is not Account.CONTROL:
        return _limits(connections=CONNECTIONS[account], imports=len(passages_of(account)), exports=0)
    return {
        **_limits(connections=CONNECTIONS[account], imports=0, exports=UNLIMITED),
        "mem_storage": MEMORY_BYTES,
        "disk_storage": UNLIMITED,
        "streams": len(STREAMS),
        # A stream may ask for no more than its account has, and only admins can make any.
        "consumer": UNLIMITED,
    }


def _limits(*, connections: int, imports: int, exports: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(("subs", "data", "payload"), UNLIMITED),
        "conn": connections,
        "leaf": 0,
        "imports": imports,
        "exports": exports,
        "wildcards": True,
    }
