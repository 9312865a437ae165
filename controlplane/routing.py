"""Which share serves a path in one VM: its stored list beside what it reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.jetstream import last_message
from controlplane.views import VmView
from weft.errors import DecodeError
from weft.link import Link
from weft.wire.answer import RouteAnswer, Seen, build_answer
from weft.wire.codec import decode_message
from weft.wire.mountset import MountSet
from weft.wire.paths import parse_absolute_path
from weft.wire.share import ShareMount
from weft.wire.status import ShareStatus
from weft.wire.subjects import MOUNTS_STREAM, subject


@dataclass(frozen=True, slots=True)
class VmRoute:
    """
    The answer for one VM.

    Attributes:
        answer: Which share serves the path, and what the guest shows there.
        doubts: What makes the answer less than certain, one sentence each.
    """

    answer: RouteAnswer
    doubts: tuple[str, ...]


async def read_route(link: Link, view: VmView, path: str) -> VmRoute:
    """
    Say which share serves *path* in a VM.

    Args:
        link: Connected.
        view: What the VM reports.
        path: Absolute.

    Raises:
        DecodeError: *path* is no absolute path.
        BrokerError: The stored list could not be read.
    """
    checked = parse_absolute_path(path, field="path")
    stored = await last_message(link, MOUNTS_STREAM, subject(view.vm))
    return build_vm_route(checked, stored.data if stored is not None else None, view)


def build_vm_route(path: str, stored: bytes | None, view: VmView) -> VmRoute:
    """
    Put the stored list and the report together; pure.

    Args:
        path: Absolute and normalised.
        stored: The VM's last message, None where it has none.
        view: What the VM reports.
    """
    shares, doubts = _read_list(stored)
    doubts += _doubts_about(view)
    reported = view.status.shares if view.status is not None else ()
    seen = {share.id: _seen(share) for share in reported if share.id}
    return VmRoute(build_answer(path, shares, seen), tuple(doubts))


def _read_list(stored: bytes | None) -> tuple[tuple[ShareMount, ...], list[str]]:
    if stored is None:
        return (), ["nothing is stored for this VM"]
    try:
        message = decode_message(stored)
    except DecodeError as exc:
        return (), [f"its stored list cannot be read: {exc}"]
    if isinstance(message, MountSet):
        bad = [f"its stored list has a share that cannot be used: {element.reason}" for element in message.rejected]
        return message.shares, bad
    alone = () if message.is_unmount else (message,)
    return alone, ["its last message is a single share; what else it should have is not stored"]


def _doubts_about(view: VmView) -> Iterator[str]:
    if view.problem is not None:
        yield f"{view.vm} {view.problem}" if view.status is None or view.is_stale else view.problem
    held = view.status.held_revision if view.status is not None else None
    if held is not None and view.stored_revision and held != view.stored_revision:
        yield f"{view.vm} does not obey the stored list yet (revision {view.stored_revision}), but revision {held}"


def _seen(share: ShareStatus) -> Seen:
    why = share.error.message if share.error is not None else ""
    return Seen(share.mount_point, share.state, is_there=bool(share.digest), why=why)
