"""What guests say about themselves, next to what they were sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.jetstream import stream_facts
from controlplane.messages import LastMessage
from controlplane.reader import read_complete, read_last, read_messages
from controlplane.stored import StoredMessage
from weft.errors import DecodeError, SubjectError
from weft.link import Link
from weft.wire.ids import ClassName, VmId
from weft.wire.status import MISSED_HEARTBEATS_TO_STALE, VmStatus, decode_status
from weft.wire.subjects import (
    MOUNTS_ALL,
    MOUNTS_STREAM,
    STATUS_ALL,
    STATUS_STREAM,
    status_subject,
    subject,
    vm_of_subject,
)

ASSUMED_HEARTBEAT_S = 60.0
"""For a guest that does not say how often it reports."""
FEW = 8
"""Up to here a consumer per VM is cheaper than reading every VM's reports."""


@dataclass(frozen=True, slots=True)
class Heard:
    """
    The reports of one VM.

    Attributes:
        status: The last one that could be read, None for none.
        reported_at_s: When the broker got the last one, as a Unix time.
        is_claimed_twice: Whether two guests take turns under this id.
    """

    status: VmStatus | None
    reported_at_s: float
    is_claimed_twice: bool


@dataclass(frozen=True, slots=True)
class VmView:
    """
    One VM as an operator sees it.

    Attributes:
        vm: Its id.
        status: Its last report, None while it has never reported.
        stored_revision: The revision of its stored state, None where there is none.
        reported_age_s: Seconds since the last report by the broker's clock.
        is_stale: Whether it missed its heartbeats.
        is_claimed_twice: Whether two guests take turns under this id.
        classes: Classes it is in.
    """

    vm: VmId
    status: VmStatus | None = None
    stored_revision: int | None = None
    reported_age_s: float | None = None
    is_stale: bool = False
    is_claimed_twice: bool = False
    classes: tuple[ClassName, ...] = ()

    @property
    def agent_version(self) -> str:
        """Version of its agent, empty while unknown."""
        return self.status.agent.version if self.status is not None and self.status.agent is not None else ""

    @property
    def problem(self) -> str | None:
        """What an operator should know about the VM itself, None for nothing."""
        if self.is_claimed_twice:
            return "two guests report under this id"
        if self.status is None:
            return "has never reported"
        if self.status.problem is not None:
            return self.status.problem.message
        return "is silent" if self.is_stale else None


def build_heard(messages: Sequence[StoredMessage]) -> Heard:
    """
    Put the kept reports of one VM together.

    Args:
        messages: At least one, oldest first.
    """
    statuses = [status for message in messages if (status := parse_status(message.data)) is not None]
    boot_ids = [status.boot_id for status in statuses if status.boot_id]
    return Heard(
        status=statuses[-1] if statuses else None,
        reported_at_s=messages[-1].stored_at_s,
        is_claimed_twice=takes_turns(boot_ids),
    )


def takes_turns(boot_ids: Sequence[str]) -> bool:
    """Say whether a boot id comes back after another one, which no reboot does."""
    changes = [boot_id for index, boot_id in enumerate(boot_ids) if index == 0 or boot_ids[index - 1] != boot_id]
    return len(changes) > len(set(changes))


def is_stale(status: VmStatus, age_s: float) -> bool:
    """Say whether a guest that reported *age_s* ago missed its heartbeats."""
    return age_s > MISSED_HEARTBEATS_TO_STALE * (status.heartbeat_s or ASSUMED_HEARTBEAT_S)


def parse_status(data: bytes) -> VmStatus | None:
    """Read a report, None where it cannot be read: one broken guest must not hide the others."""
    try:
        return decode_status(data)
    except DecodeError:
        return None


async def read_heard(link: Link, vms: Iterable[VmId] | None = None) -> tuple[dict[VmId, Heard], float]:
    """
    Read the reports of *vms*, or of everybody.

    Returns:
        What was heard of each VM that ever reported, and the broker's time.

    Raises:
        BrokerError: The stream could not be read.
    """
    now_s = (await stream_facts(link, STATUS_STREAM)).now_s
    asked = None if vms is None else sorted(set(vms))
    filters = [STATUS_ALL] if asked is None or len(asked) > FEW else [status_subject(vm) for vm in asked]
    kept: dict[VmId, list[StoredMessage]] = {}
    for subjects in filters:
        for message in await read_messages(link, STATUS_STREAM, subjects, last_per_subject=False):
            try:
                kept.setdefault(vm_of_subject(message.subject), []).append(message)
            except SubjectError:
                continue  # another program reports under something that is no VM id
    wanted = kept.keys() if asked is None else kept.keys() & set(asked)
    return {vm: build_heard(kept[vm]) for vm in wanted}, now_s


async def read_revisions(link: Link, vms: Iterable[VmId] | None = None) -> dict[VmId, int]:
    """Read the revision of each VM's stored state, 0 for one without; raises as :func:`read_heard`."""
    if vms is None:
        messages: Mapping[str, StoredMessage] = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    else:
        messages = await read_last(link, MOUNTS_STREAM, (subject(vm) for vm in vms), everything=MOUNTS_ALL)
    revisions: dict[VmId, int] = {}
    for message in messages.values():
        try:
            revisions[vm_of_subject(message.subject)] = LastMessage(message).revision
        except SubjectError:
            continue  # a subject that is no VM's
    return revisions


def build_views(
    vms: Iterable[VmId],
    heard: Mapping[VmId, Heard],
    revisions: Mapping[VmId, int],
    classes: Mapping[ClassName, Iterable[VmId]],
    *,
    now_s: float,
) -> list[VmView]:
    """Put together what is known about each of *vms*, in their order."""
    classes_of: dict[VmId, list[ClassName]] = {}
    for name, members in classes.items():
        for vm in members:
            classes_of.setdefault(vm, []).append(name)
    return [
        _build_view(vm, heard.get(vm), revisions.get(vm), tuple(sorted(classes_of.get(vm, ()))), now_s) for vm in vms
    ]


def _build_view(
    vm: VmId, heard: Heard | None, revision: int | None, classes: tuple[ClassName, ...], now_s: float
) -> VmView:
    if heard is None:
        return VmView(vm, stored_revision=revision, classes=classes)
    age_s = max(0.0, now_s - heard.reported_at_s)
    return VmView(
        vm=vm,
        status=heard.status,
        stored_revision=revision,
        reported_age_s=age_s,
        is_stale=heard.status is not None and is_stale(heard.status, age_s),
        is_claimed_twice=heard.is_claimed_twice,
        classes=classes,
    )
