"""What happened in this guest, for the audit trail: the difference between two looks at where its shares stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.reconcile.standing import Standing
from weft.wire.events import GONE, Event
from weft.wire.ids import ShareId, VmId
from weft.wire.status import ShareState


@dataclass(frozen=True, slots=True)
class Happening:
    """One event and its kind, ``noun.participle``, which ends up in its subject."""

    kind: str
    event: Event


def build_changes(
    before: Mapping[ShareId, Standing] | None,
    after: Mapping[ShareId, Standing],
    *,
    vm: VmId,
    revision: int,
    utc: datetime,
) -> tuple[Happening, ...]:
    """
    Build an event for every share whose state, or whose kind of failure, differs.

    Args:
        before: The last look; None for the first one of this agent, when what is mounted was so before it started.
        after: This look.
        vm: The guest.
        revision: What is held.
        utc: Wall clock.
    """
    first = before is None
    seen = {share_id: _mark(standing) for share_id, standing in (before or {}).items()}
    changed = [
        standing
        for share_id, standing in after.items()
        if seen.get(share_id) != _mark(standing) and not (first and standing.state is ShareState.MOUNTED)
    ]
    happenings = [
        Happening(
            f"share.{standing.state}",
            Event(
                vm=vm,
                share=standing.share_id,
                state=standing.state,
                code=standing.fault.code if standing.fault is not None else "",
                message=standing.fault.message if standing.fault is not None else "",
                revision=revision,
                at=utc,
            ),
        )
        for standing in changed
    ]
    gone = sorted(seen.keys() - after.keys())
    return (
        *happenings,
        *(
            Happening(f"share.{GONE}", Event(vm=vm, share=share_id, state=GONE, revision=revision, at=utc))
            for share_id in gone
        ),
    )


def _mark(standing: Standing) -> tuple[str, str]:
    """Reduce a standing to what is worth an event; a text that counts attempts is not."""
    return (standing.state, standing.fault.code if standing.fault is not None else "")
