"""What a report may hold before an operator reads it (pure): a guest writes whatever it likes into its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

import msgspec

from weft.wire.ids import ShareId
from weft.wire.status import MAX_STATUS_BYTES, AgentInfo, ShareError, ShareStatus, VmStatus

LARGEST_BYTES = MAX_STATUS_BYTES + 1024
"""An agent writes less; a stream of an earlier weft, and a broker without one, let more pass."""
PLAIN_BYTES = 4096
"""A report of so little has nothing in it that is worth cutting, and most have so little."""
UNLISTED_SHARES = 100
"""Shares shown of one VM that its list does not have: single messages and boot files give some."""
TIMES_LISTED = 2
"""A rejected duplicate has a line of its own, before the share that it repeats."""
BACKENDS = 64
SHORT = 256
"""Characters of a name; an id has at most 128."""
LONG = 4096
"""Characters of a path, a sentence or a client's last lines."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """A report as it is shown, and how many of its shares are left out."""

    status: VmStatus
    left_out: int = 0


def cut_texts(status: VmStatus) -> VmStatus:
    """Cut every text of a report that is longer than any agent's; a table is as wide as its widest cell."""
    return msgspec.structs.replace(
        status,
        hostname=status.hostname[:SHORT],
        boot_id=status.boot_id[:SHORT],
        agent=_cut_agent(status.agent) if status.agent is not None else None,
        problem=_cut_error(status.problem),
        shares=tuple(_cut_share(share) for share in status.shares),
    )


def _cut_agent(agent: AgentInfo) -> AgentInfo:
    backends = {
        name[:SHORT]: version[:SHORT] if version is not None else None
        for name, version in islice(agent.backends.items(), BACKENDS)
    }
    return msgspec.structs.replace(agent, version=agent.version[:SHORT], backends=backends)


def _cut_share(share: ShareStatus) -> ShareStatus:
    longest = max(len(share.id), len(share.backend), len(share.digest))
    if share.error is None and longest <= SHORT and len(share.mount_point) <= LONG:
        return share
    return msgspec.structs.replace(
        share,
        id=share.id[:SHORT],
        mount_point=share.mount_point[:LONG],
        backend=share.backend[:SHORT],
        digest=share.digest[:SHORT],
        error=_cut_error(share.error),
    )


def _cut_error(error: ShareError | None) -> ShareError | None:
    if error is None or max(len(error.message), len(error.detail)) <= LONG:
        return error
    return msgspec.structs.replace(error, message=error.message[:LONG], detail=error.detail[:LONG])


def bounded(status: VmStatus, listed: Collection[ShareId]) -> Bounded:
    """
    Leave out of a report the shares that nobody published, but for the first few.

    Args:
        status: The report.
        listed: Shares of the VM's stored list.
    """
    if len(status.shares) <= UNLISTED_SHARES:
        return Bounded(status)
    kept: list[ShareStatus] = []
    seen: Counter[str] = Counter()
    unlisted = 0
    for share in status.shares:
        seen[share.id] += 1
        if share.id not in listed or seen[share.id] > TIMES_LISTED:
            unlisted += 1
            if unlisted > UNLISTED_SHARES:
                continue
        kept.append(share)
    return Bounded(msgspec.structs.replace(status, shares=tuple(kept)), len(status.shares) - len(kept))
