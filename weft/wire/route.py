"""Which share serves a path: the one rule that guest, control plane and kernel must agree on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from weft.wire.ids import ShareId
from weft.wire.paths import is_at_or_below


class Placed(Protocol):
    """Anything with an id, a mount point and a priority; a ShareMount is one."""

    @property
    def id(self) -> str: ...
    @property
    def mount_point(self) -> str: ...
    @property
    def priority(self) -> int: ...


P = TypeVar("P", bound=Placed)


@dataclass(frozen=True, slots=True)
class Route:
    """
    The answer for one path.

    Attributes:
        path: What was asked.
        winner: Id of the share that serves it, None where none does.
        candidates: Ids of all shares at or above the path, best first; the winner leads.
        reason: One sentence that says why the winner wins.
    """

    path: str
    winner: ShareId | None
    candidates: tuple[ShareId, ...]
    reason: str


def route(path: str, shares: Iterable[Placed]) -> Route:
    """
    Say which of *shares* serves *path*.

    Highest priority first, then the longest mount point, then the smallest id.

    Args:
        path: Absolute and normalised.
        shares: Desired shares that are not rejected, expired or held.
    """
    ranked = sorted((share for share in shares if is_at_or_below(path, share.mount_point)), key=_rank)
    candidates = tuple(ShareId(share.id) for share in ranked)
    return Route(path, candidates[0] if candidates else None, candidates, _reason(path, ranked))


def _rank(share: Placed) -> tuple[int, int, str]:
    return (-share.priority, -len(share.mount_point), share.id)


def _reason(path: str, ranked: Sequence[Placed]) -> str:
    if not ranked:
        return f"no share is mounted at or above {path}"
    winner = ranked[0]
    if len(ranked) == 1:
        return f"{winner.mount_point} is the only mount point at or above it"
    second = ranked[1]
    if winner.priority != second.priority:
        return f"its priority {winner.priority} is higher than {second.priority} of {second.id}"
    if len(winner.mount_point) != len(second.mount_point):
        return f"{winner.mount_point} is the longest mount point at or above it"
    return f"it has the smaller id than {second.id} on the same mount point"


def shadows(upper: Placed, lower: Placed) -> bool:
    """Say whether *upper* keeps *lower* from being mounted."""
    if upper.id == lower.id or not is_at_or_below(lower.mount_point, upper.mount_point):
        return False
    if upper.priority != lower.priority:
        return upper.priority > lower.priority
    return upper.mount_point == lower.mount_point and upper.id < lower.id


def shadowed_by(shares: Iterable[P]) -> dict[ShareId, ShareId]:
    """
    Map each shadowed share to the share that serves its mount point instead.

    Args:
        shares: Desired shares that are not rejected, expired or held; failed and waiting ones still shadow.
    """
    placed = list(shares)
    result: dict[ShareId, ShareId] = {}
    best: dict[str, P] = {}  # at each mount point; whom any other there shadows, the best shadows too
    for share in placed:
        other = best.setdefault(share.mount_point, share)
        if _rank(share) < _rank(other):
            best[share.mount_point] = share
    for share in placed:
        over = [best[path] for path in _ancestry(share.mount_point) if path in best and shadows(best[path], share)]
        if over:
            result[ShareId(share.id)] = ShareId(min(over, key=_rank).id)
    return result


def _ancestry(path: str) -> list[str]:
    """List *path* and every directory above it."""
    parts = path.split("/")
    return ["/".join(parts[: n + 1]) or "/" for n in range(len(parts))]
