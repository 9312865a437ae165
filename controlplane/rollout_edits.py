"""Commands on rollouts → edits of the catalog (pure)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controlplane.decide import Intent
from controlplane.edits import Author, Change, record_edit
from controlplane.projection import Members, receivers
from controlplane.records import CatalogSnapshot, Edit, Rollout, RolloutState, ShareRecord
from controlplane.refresh import find_record
from controlplane.rollout import advance, stop, undo
from controlplane.rollout_standing import everybody, reached_vms
from weft.wire.ids import VmId
from weft.wire.subjects import share_key


def build_step(
    snapshot: CatalogSnapshot, members: Members, share_id: str, author: Author, *, expected: Rollout, problem: str = ""
) -> Change:
    """
    Go one step further, or stop because of *problem*; nothing where somebody else did something meanwhile.

    Args:
        snapshot: The catalog.
        members: VMs of every class in use.
        share_id: The share.
        author: For the record.
        expected: The rollout that was judged.
        problem: Why to stop; empty to go on.
    """
    action = "rollout.stop" if problem else "rollout.advance"
    record = snapshot.shares.get(find_record(snapshot, share_id).share_id)
    rollout = record.rollout if record is not None else None
    if record is None or rollout is None or rollout.state is not RolloutState.RUNNING or not _is_at(rollout, expected):
        return Change(action, is_repeatable=True)
    if problem:
        return _changed(snapshot, action, record, stop(record, problem), frozenset(), author)
    new = advance(record, rollout, everybody(record, members), author.at)
    # Also whoever was reached before: their message may be missing where the last step was interrupted.
    return _changed(snapshot, action, record, new, reached_vms(new, members), author)


def _is_at(rollout: Rollout, expected: Rollout) -> bool:
    return (rollout.started_at, rollout.step, rollout.step_at) == (
        expected.started_at,
        expected.step,
        expected.step_at,
    )


def build_spread(
    snapshot: CatalogSnapshot,
    members: Members,
    share_id: str,
    author: Author,
    *,
    action: str,
    change: Callable[[ShareRecord], ShareRecord],
) -> Change:
    """
    Change how a rollout goes on, and make sure of those that it has reached.

    Raises:
        UnknownNameError: No such share.
        CatalogError: *change* refuses.
    """
    record = find_record(snapshot, share_id)
    new = change(record)
    return _changed(snapshot, action, record, new, reached_vms(new, members), author)


def build_undo(snapshot: CatalogSnapshot, members: Members, share_id: str, author: Author) -> Change:
    """
    Give everybody the edition before; a share that was new ends.

    Raises:
        UnknownNameError: No such share.
        CatalogError: No rollout of it is under way.
    """
    record = find_record(snapshot, share_id)
    before = undo(record)
    if before is not None:
        return _changed(
            snapshot, "rollout.undo", record, before, receivers(record, members) | receivers(before, members), author
        )
    key = share_key(record.share_id)
    return Change(
        "rollout.undo",
        (record.share_id,),
        (Edit(key, None, snapshot.editions.get(key, 0)),),
        receivers(record, members),
        Intent(frozenset({record.share_id}), changed=record.share),
        is_repeatable=True,
    )


def _changed(
    snapshot: CatalogSnapshot,
    action: str,
    old: ShareRecord,
    new: ShareRecord,
    affected: frozenset[VmId],
    author: Author,
) -> Change:
    noted = msgspec.structs.replace(new, updated_at=author.at, updated_by=author.who)
    return Change(
        action,
        (old.share_id,),
        (record_edit(snapshot, noted),) if new != old else (),
        affected,
        Intent(frozenset({old.share_id}), changed=new.share),
        is_repeatable=True,
    )
