"""Desired against actual, share by share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controlplane.comparison import Bucket, buckets, compare
from controlplane.views import VmView
from controlplane.wanted import Digests, WantedList
from tests.unit.controlplane.makers import last, share
from weft.wire.digest import share_digest
from weft.wire.ids import VmId
from weft.wire.share import ShareMount, share_to_builtins
from weft.wire.status import ShareState, ShareStatus, VmStatus

A = share("a")


def wanted(*shares: ShareMount, revision: int = 5) -> WantedList:
    listed = [share_to_builtins(item) for item in shares]
    return WantedList(last({"vm": "vm-1", "revision": revision, "shares": listed}), Digests())


def reported(*shares: ShareStatus, held: int = 5, **more: Any) -> VmView:
    more = {"stored_revision": 5, "wanted": wanted(A), **more}
    return VmView(VmId("vm-1"), VmStatus(vm="vm-1", held_revision=held, shares=shares), **more)


def mounted(share_id: str = "a", *, digest: str = share_digest(A)) -> ShareStatus:
    return ShareStatus(id=share_id, state=ShareState.MOUNTED, digest=digest)


@pytest.mark.parametrize(
    ("view", "found"),
    [
        pytest.param(reported(mounted()), [("a", "mounted", "")], id="as wanted"),
        pytest.param(reported(), [("a", "waiting", "is not in its report")], id="not in the report"),
        pytest.param(
            reported(mounted(digest="old"), held=4),
            [("a", "waiting", "has another edition mounted")],
            id="the edition before",
        ),
        pytest.param(
            reported(mounted(), mounted("b"), held=4),
            [("a", "mounted", ""), ("b", "waiting", "is to go")],
            id="one is to go",
        ),
        pytest.param(
            reported(mounted(), mounted("boot")), [("a", "mounted", ""), ("boot", "mounted", "")], id="single"
        ),
        pytest.param(
            reported(ShareStatus(id="a", state=ShareState.FAILED)), [("a", "failed", "")], id="a failure is a failure"
        ),
        pytest.param(reported(mounted(), is_stale=True), [("a", "silent", "")], id="nobody says"),
        pytest.param(VmView(VmId("vm-1"), wanted=wanted(A)), [("a", "silent", "")], id="never reported"),
        pytest.param(reported(mounted(), wanted=None), [("a", "mounted", "")], id="nothing stored"),
    ],
)
def test_each_share_counts_once_and_says_how_it_departs(view: VmView, found: list[tuple[str, str, str]]) -> None:
    """From the guest's report and the stored list together."""
    assert [(item.share_id, item.bucket.value, item.departs) for item in compare(view)] == found
    assert buckets(view) == [(share_id, Bucket(bucket)) for share_id, bucket, _ in found]


def test_a_wanted_list_knows_ids_and_digests() -> None:
    """Also of a single message, and of a share that no guest can use."""
    assert wanted(A).ids == {"a"}
    assert wanted(A).digests == {"a": share_digest(A)}
    single = WantedList(last(share_to_builtins(A)), Digests())
    assert (single.revision, single.digests) == (0, {"a": share_digest(A)})
    gone = WantedList(last({"id": "a", "action": "unmount"}), Digests())
    assert (gone.ids, gone.digests) == (frozenset(), {})
    broken = {"vm": "vm-1", "revision": 5, "shares": [{"id": "x", "mount_point": "relative"}, {"mount_point": "/y"}]}
    assert WantedList(last(json.dumps(broken).encode()), Digests()).digests == {"x": ""}
