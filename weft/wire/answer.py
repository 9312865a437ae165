"""What to tell whoever asks which share serves a path: the rule's answer, and what the guest shows meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from weft.wire.paths import is_at_or_below
from weft.wire.route import Placed, route
from weft.wire.status import ShareState

OUT_OF_PLAY = frozenset({ShareState.REJECTED, ShareState.EXPIRED, ShareState.HELD})
"""Shares in these states neither serve a path nor keep another share from it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What the guest says about one share.

    Attributes:
        mount_point: Where it is, or should be.
        state: Where it stands.
        is_there: Whether anything of it is mounted.
        why: Why it is not as it should be, empty where it is.
    """

    mount_point: str
    state: ShareState
    is_there: bool
    why: str = ""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One share at or above the path; what is not known of it is None."""

    id: str
    mount_point: str
    priority: int | None = None
    state: ShareState | None = None
    why: str = ""


class RouteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """
    The answer for one path in one guest.

    Attributes:
        path: What was asked.
        winner: The share that serves it, None where none does.
        reason: Why it is the winner.
        state: Where the winner stands, None where the guest has not reported it.
        shown_by: The mounted share that a look at the path finds now, None where it finds the guest's own files.
        candidates: The shares that count, best first.
        aside: Shares that do not count: rejected, expired, held, or in the guest though it should not have them.
    """

    path: str
    winner: str | None
    reason: str
    state: ShareState | None
    shown_by: str | None
    candidates: tuple[Candidate, ...]
    aside: tuple[Candidate, ...]


def build_answer(path: str, shares: Iterable[Placed], seen: Mapping[str, Seen]) -> RouteAnswer:
    """
    Say which of *shares* serves *path*, and which does now.

    Args:
        path: Absolute and normalised.
        shares: Everything the guest should have.
        seen: What the guest says, by share id; it may know shares that *shares* lacks, and lack some.
    """
    above = {share.id: share for share in shares if is_at_or_below(path, share.mount_point)}
    counting = {name: share for name, share in above.items() if name not in seen or seen[name].state not in OUT_OF_PLAY}
    found = route(path, counting.values())
    known = {name: each for name, each in seen.items() if each.mount_point and is_at_or_below(path, each.mount_point)}
    there = [name for name, each in known.items() if each.is_there]
    candidates = tuple(_candidate(name, counting.get(name), seen) for name in found.candidates)
    return RouteAnswer(
        path=path,
        winner=found.winner,
        reason=found.reason,
        state=candidates[0].state if candidates else None,
        shown_by=max(there, key=lambda name: len(seen[name].mount_point), default=None),
        candidates=candidates,
        aside=tuple(
            _candidate(name, above.get(name), seen) for name in sorted((above.keys() | known.keys()) - counting.keys())
        ),
    )


def _candidate(name: str, share: Placed | None, seen: Mapping[str, Seen]) -> Candidate:
    told = seen.get(name)
    return Candidate(
        id=name,
        mount_point=share.mount_point if share is not None else seen[name].mount_point,
        priority=share.priority if share is not None else None,
        state=told.state if told is not None else None,
        why=told.why if told is not None else "",
    )


def describe(answer: RouteAnswer) -> list[str]:
    """Say it in lines for people: the answer, what is there instead of it, and every share that was considered."""
    lines = [_verdict(answer)]
    if answer.shown_by != answer.winner:
        lines.append(_meanwhile(answer))
    considered = [*answer.candidates, *answer.aside]
    if len(considered) > 1 or answer.aside:
        cells = [(each.id, each.mount_point, _importance(each), _standing(each)) for each in considered]
        widths = [max(len(row[n]) for row in cells) for n in range(3)]
        lines += ["  " + "  ".join([*(row[n].ljust(widths[n]) for n in range(3)), row[3]]).rstrip() for row in cells]
    return lines


def _verdict(answer: RouteAnswer) -> str:
    if answer.winner is None:
        return f"{answer.path}: {answer.reason}"
    return f"{answer.path}: share {answer.winner}, because {answer.reason}"


def _meanwhile(answer: RouteAnswer) -> str:
    found = f"share {answer.shown_by}" if answer.shown_by is not None else "the guest's own files"
    if not answer.candidates:
        return f"a look there still finds {found}"
    return f"{answer.winner} is {_standing(answer.candidates[0])}; until it is mounted, a look there finds {found}"


def _importance(candidate: Candidate) -> str:
    return f"priority {candidate.priority}" if candidate.priority is not None else "not wanted"


def _standing(candidate: Candidate) -> str:
    if candidate.state is None:
        return "not reported by the guest"
    return f"{candidate.state} ({candidate.why})" if candidate.why else str(candidate.state)
