"""Desired against actual, share by share (pure): how each share of a VM stands, and where it departs from the list."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.views import VmView
from weft.wire.ids import ShareId
from weft.wire.status import ShareState, ShareStatus

GOOD = frozenset({ShareState.MOUNTED, ShareState.SHADOWED, ShareState.EXPIRED})
BAD = frozenset({ShareState.FAILED, ShareState.BACKOFF, ShareState.REJECTED, ShareState.DEGRADED})


class Bucket(enum.StrEnum):
    """What a share counts as: it is as wanted, something is in the way, it takes its time, or nobody says."""

    MOUNTED = "mounted"
    FAILED = "failed"
    WAITING = "waiting"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class ShareView:
    """
    One share in one VM.

    Attributes:
        share_id: The share, empty for an element whose id could not be read.
        status: What the guest says of it, None where it says nothing.
        bucket: What it counts as.
        departs: How it departs from the stored list, empty where it does not.
        wanted_digest: The digest it should have, empty where it should not be there or that is not known.
    """

    share_id: str
    status: ShareStatus | None
    bucket: Bucket
    departs: str = ""
    wanted_digest: str = ""


def compare(view: VmView, *, with_digests: bool = True) -> Iterator[ShareView]:
    """
    Compare each share that *view* reports or should have.

    Args:
        view: The VM.
        with_digests: Whether to compute every digest, rather than only where the guest obeys an older list.
    """
    silent = view.status is None or view.is_stale
    ids = view.wanted.ids if view.wanted is not None else None
    for share in view.status.shares if view.status is not None else ():
        is_unwanted = ids is not None and bool(share.id) and ShareId(share.id) not in ids
        digest = _wanted_digest(view, share, is_unwanted, with_digests)
        departs = _departs(view, share, digest, is_unwanted)
        bucket = Bucket.SILENT if silent else _bucket(share.state, is_other=bool(departs))
        yield ShareView(share.id, share, bucket, departs, digest)
    for share_id in sorted(missing(view)):
        bucket = Bucket.SILENT if silent else Bucket.WAITING
        digest = view.wanted.digests.get(share_id, "") if with_digests and view.wanted is not None else ""
        yield ShareView(share_id, None, bucket, "" if view.status is None else "is not in its report", digest)


def buckets(view: VmView) -> list[tuple[str, Bucket]]:
    """Say for each share of *view* what it counts as; quick where the guest obeys the stored list, as most do."""
    if view.status is None or view.is_stale or view.is_behind:
        return [(share.share_id, share.bucket) for share in compare(view, with_digests=False)]
    found = [(share.id, _bucket(share.state, is_other=False)) for share in view.status.shares]
    return found + [(share_id, Bucket.WAITING) for share_id in sorted(missing(view))]


def missing(view: VmView) -> frozenset[ShareId]:
    """Name the shares that a VM was told to have and does not report."""
    if view.wanted is None:
        return frozenset()
    return view.wanted.ids - {share.id for share in view.status.shares} if view.status else view.wanted.ids


def _wanted_digest(view: VmView, share: ShareStatus, is_unwanted: bool, with_digests: bool) -> str:
    if view.wanted is None or is_unwanted or not (with_digests or view.is_behind):
        return ""
    return view.wanted.digests.get(ShareId(share.id), "")


def _departs(view: VmView, share: ShareStatus, digest: str, is_unwanted: bool) -> str:
    if is_unwanted:
        # A single message, or a boot file, gives guests shares that a list does not know.
        return "is to go" if view.is_behind or share.state is ShareState.UNMOUNTING else ""
    if digest and share.digest and share.digest != digest and share.state in (*GOOD, ShareState.DEGRADED):
        return "has another edition mounted"
    return ""


def _bucket(state: ShareState, *, is_other: bool) -> Bucket:
    if state in BAD:
        return Bucket.FAILED
    return Bucket.MOUNTED if state in GOOD and not is_other else Bucket.WAITING
