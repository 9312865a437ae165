"""What to do with each VM's message (pure): publish it, leave it, or refuse, given what is wanted and what was read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controlplane.messages import FRAME_FIELDS, LastMessage, NextMessage, compose, compose_list
from controlplane.projection import ProjectedShare, Projection, expand
from controlplane.records import CatalogSnapshot
from weft.errors import CatalogBehindError, ConfirmationNeededError
from weft.wire.codec import encode_message
from weft.wire.ids import ShareId, VmId
from weft.wire.mountset import MAX_SHARES, CatalogMark
from weft.wire.share import Action, ShareMount

DAY_MS = 86_400_000
WITNESSES = 2
"""Guests that must report a share which nobody else knows, before taking it away is a loss."""
ASK_ABOVE = 0.10
"""Share of all VMs that may lose something the command did not name before an operator is asked."""


@dataclass(frozen=True, slots=True)
class Report:
    """The part of a guest's status that matters to a publisher: the revision it obeys and the shares it knows."""

    held_revision: int = 0
    share_ids: frozenset[ShareId] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """What was read about VMs: the last message and the last report of each that has one."""

    last: Mapping[VmId, LastMessage]
    reports: Mapping[VmId, Report]


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What the operator's command is about.

    Attributes:
        named: Shares the command names; losing them is what was asked for.
        named_vms: VMs from which the command takes whatever they lose.
        changed: The single share it is about, with ``{vm}`` in place, None for none or several.
        ask_above: Share of all VMs that may lose something unnamed before an operator is asked.
    """

    named: frozenset[ShareId] = frozenset()
    named_vms: frozenset[VmId] = frozenset()
    changed: ShareMount | None = None
    ask_above: float = ASK_ABOVE


@dataclass(frozen=True, slots=True)
class Publish:
    """Store this message; *lost* are the shares it takes away that the command did not name."""

    vm: VmId
    data: bytes = field(repr=False)
    revision: int
    expected_seq: int
    lost: frozenset[ShareId]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The stored message is already right; revision 0 where neither a message nor a need for one exists."""

    vm: VmId
    revision: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Leave the VM as it is, for a reason an operator must see."""

    vm: VmId
    reason: str


Decision = Publish | Unchanged | Refuse


def decide_all(
    projection: Projection, survey: Survey, intent: Intent, *, catalog: CatalogSnapshot, now_ms: int, max_bytes: int
) -> list[Decision]:
    """
    Decide for every projected VM.

    Args:
        projection: What each VM should have.
        survey: Read before the catalog was, so that nobody's later list can be mistaken for an older one.
        intent: What the command is about.
        catalog: What the projection comes from.
        now_ms: Milliseconds since 1970, by the broker's clock: guests refuse revisions far ahead of it.
        max_bytes: The largest message that the broker takes.

    Raises:
        CatalogBehindError: Some message was computed from a newer or another catalog.
    """
    for vm, last in survey.last.items():
        check_mark(vm, last, catalog)
    mark = CatalogMark(id=catalog.id, seq=catalog.seq)
    published = _published(survey, catalog)
    decisions: list[Decision] = [
        Refuse(vm, f"its list cannot be computed: {problem}") for vm, problem in projection.problems.items()
    ]
    encoded: dict[tuple[int, ...], bytes] = {}
    for vm, shares in projection.lists.items():
        key = tuple(id(share) for share in shares)
        if key not in encoded:
            encoded[key] = compose_list(share.encoded for share in shares)
        decisions.append(
            _decide(vm, shares, encoded[key], projection, survey, published, intent, mark, now_ms, max_bytes)
        )
    return decisions


def _published(survey: Survey, catalog: CatalogSnapshot) -> frozenset[ShareId]:
    """
    Name the shares that anybody published, as far as that is known.

    A guest may report what it invented, so one guest's word does not count. Two guests' word does: it is all there is
    where catalog and stream were lost together.
    """
    listed = (last.share_ids for last in survey.last.values() if last.is_set)
    told = Counter(share_id for report in survey.reports.values() for share_id in report.share_ids)
    witnessed = (share_id for share_id, vms in told.items() if vms >= WITNESSES)
    return frozenset(catalog.shares).union(witnessed, *listed)


def check_mark(vm: VmId, last: LastMessage, catalog: CatalogSnapshot) -> None:
    """
    Refuse to continue from a catalog that knows less than the stream does.

    Raises:
        CatalogBehindError: Naming the VM and the way out.
    """
    theirs = last.mark
    if theirs is None or catalog.knows(theirs):
        return
    why = (
        f"ends at {catalog.seq}, before the {theirs.seq} that the message of {vm} was computed from"
        if theirs.id == catalog.id
        else f"is not the one that the message of {vm} was computed from"
    )
    raise CatalogBehindError(
        f"cannot publish from this catalog: it {why}, so shares would be lost by absence"
        " (bring the catalog back with 'weft import', or rebuild it from the stream with 'weft recover')",
        may_catch_up=theirs.id == catalog.id,
    )


def _decide(
    vm: VmId,
    shares: Sequence[ProjectedShare],
    encoded: bytes,
    projection: Projection,
    survey: Survey,
    published: frozenset[ShareId],
    intent: Intent,
    mark: CatalogMark,
    now_ms: int,
    max_bytes: int,
) -> Decision:
    if len(shares) > MAX_SHARES:
        return Refuse(
            vm, f"its list has {len(shares)} shares, and a guest takes {MAX_SHARES}; take some from its classes"
        )
    last = survey.last.get(vm)
    report = survey.reports.get(vm, Report())
    wanted = frozenset(share.id for share in shares)
    had = last.share_ids if last is not None and last.is_set else report.share_ids & published
    for share_id in sorted((had - wanted) & projection.unreadable.keys()):
        return Refuse(vm, f"its share {share_id!r} has a record that cannot be read: {projection.unreadable[share_id]}")
    if last is None and not wanted and not report.held_revision:
        return Unchanged(vm, 0)
    gone = next_gone(wanted, last, report, intent.named)
    if last is not None and gone <= last.gone and last.lists_exactly(encoded):
        return Unchanged(vm, last.revision)
    revision = next_revision(last.revision if last is not None else 0, report.held_revision, now_ms)
    following = NextMessage(vm, revision, mark, tuple(sorted(gone)), changed_share(vm, shares, had, intent.changed))
    data = compose(following, encoded)
    if len(data) > max_bytes and following.changed:
        # Only the list counts; the share at the top level is a courtesy to agents that know nothing else.
        data = compose(replace(following, changed=b""), encoded)
    if len(data) > max_bytes:
        return Refuse(vm, f"its list is too large: {len(data)} bytes, and the broker takes {max_bytes}")
    lost = frozenset() if vm in intent.named_vms else had - wanted - intent.named
    return Publish(vm, data, revision, last.seq if last is not None else 0, lost)


def next_revision(last_revision: int, held_revision: int, now_ms: int) -> int:
    """
    Choose a revision above everything the guest may hold.

    A last message that lies more than a day ahead is held by no guest, so it does not count.
    """
    believed = last_revision if last_revision <= now_ms + DAY_MS else 0
    return max(believed, held_revision, now_ms) + 1


def next_gone(
    wanted: frozenset[ShareId], last: LastMessage | None, report: Report, named: frozenset[ShareId]
) -> frozenset[ShareId]:
    """
    Name the ids that must go even where they arrived as single messages, which a list alone does not take away.

    An id stays named until the guest obeys a message that named it and no longer has the share.
    """
    if last is None:
        return frozenset()
    dropped = last.share_ids - wanted
    if last.single is not None and (last.single.is_unmount or last.single.share_id in named):
        dropped |= {last.single.share_id}
    is_obeyed = last.is_set and report.held_revision >= last.revision
    open_ids = {share_id for share_id in last.gone if not is_obeyed or share_id in report.share_ids}
    return frozenset((dropped | open_ids) - wanted)


def changed_share(
    vm: VmId, shares: Sequence[ProjectedShare], had: frozenset[ShareId], changed: ShareMount | None
) -> bytes:
    """Encode the one share that changed for this VM, for agents that know only singles; empty where none did."""
    if changed is None or changed.extra.keys() & FRAME_FIELDS:
        return b""
    mine = next((share for share in shares if share.id == changed.share_id), None)
    if mine is not None:
        return mine.encoded
    if changed.share_id not in had:
        return b""
    mount_point = expand(changed, vm).mount_point
    return encode_message(ShareMount(id=changed.id, action=Action.UNMOUNT, mount_point=mount_point))


def refuse_losses(
    decisions: Iterable[Decision],
    snapshot: CatalogSnapshot,
    members: Iterable[frozenset[VmId]],
    ask_above: float = ASK_ABOVE,
) -> None:
    """
    Refuse decisions that would take unnamed shares from too many VMs.

    Args:
        decisions: What is about to be done.
        snapshot: The catalog, for counting VMs.
        members: VMs of the classes in use.
        ask_above: Share of all VMs that is too many.

    Raises:
        ConfirmationNeededError: Naming the VMs and shares.
    """
    decided = list(decisions)
    losing = [decision for decision in decided if isinstance(decision, Publish) and decision.lost]
    if not losing:
        return
    known: set[str] = {decision.vm for decision in decided}
    known.update(*(record.targets.vms for record in snapshot.shares.values()), *snapshot.members.values(), *members)
    if len(losing) > ask_above * len(known):
        share_ids = sorted(frozenset().union(*(decision.lost for decision in losing)))
        raise ConfirmationNeededError(sorted(decision.vm for decision in losing), share_ids, total=len(known))
