"""Where catalog, stream and guests do not agree."""

from __future__ import annotations

from typing import Any

from controlplane.differences import Difference, Side, guest_differences, stream_differences
from controlplane.projection import project
from controlplane.views import VmView
from controlplane.wanted import Digests, WantedList
from tests.unit.controlplane.makers import last, record, share, snapshot
from weft.errors import ErrorCode
from weft.wire.digest import share_digest
from weft.wire.ids import VmId
from weft.wire.share import share_to_builtins
from weft.wire.status import ShareError, ShareState, ShareStatus, VmStatus

VM = VmId("vm-1")
CATALOG = snapshot(record("a", vms=("vm-1",)), record("b", vms=("vm-1",)))


def listing(*shares: Any) -> Any:
    return last({"vm": VM, "revision": 9, "shares": [share_to_builtins(item) for item in shares]})


def stream(*shares: Any) -> list[tuple[str, str]]:
    found = stream_differences(project(CATALOG, {}, [VM]), {VM: listing(*shares)})
    return [(item.share_id, item.what) for item in found]


def test_a_list_that_is_right_does_not_differ() -> None:
    """Whatever its order."""
    assert stream(share("b"), share("a")) == []


def test_each_share_that_differs_has_a_line() -> None:
    """Changed fields by name only, for some hold secrets."""
    block = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "secret_key": "hunter2"}
    assert stream(share("a", cubefs=block), share("c")) == [
        ("a", "differs in cubefs.secret_key"),
        ("b", "is not in its list"),
        ("c", "is in its list and not meant for it"),
    ]


def test_a_missing_list_is_one_line() -> None:
    """And a VM that needs none has none."""
    projection = project(CATALOG, {}, [VM, VmId("vm-2")])
    assert list(stream_differences(projection, {})) == [Difference(VM, Side.STREAM, "", "no list is stored for it")]


def test_a_single_message_is_named() -> None:
    """A sync takes it into the catalog."""
    found = stream_differences(project(CATALOG, {}, [VM]), {VM: last(share_to_builtins(share("a")))})
    assert [item.what for item in found] == ["its last message is a single share, not a list"]


def guest(*shares: ShareStatus, held: int = 9, **view: Any) -> list[tuple[str, str]]:
    status = VmStatus(vm=VM, held_revision=held, shares=shares)
    wanted = WantedList(listing(share("a")), Digests())
    views = [VmView(VM, **{"status": status, "stored_revision": 9, "wanted": wanted, **view})]
    return [(item.share_id, item.what) for item in guest_differences(views)]


def test_a_guest_that_has_what_is_stored_does_not_differ() -> None:
    """Mounted, with the digest of what is wanted."""
    assert guest(ShareStatus(id="a", state=ShareState.MOUNTED, digest=share_digest(share("a")))) == []


def test_a_share_that_fails_or_is_missing_has_a_line() -> None:
    """With its code and sentence."""
    error = ShareError(code=ErrorCode.AUTH, message="cannot log in")
    assert guest(ShareStatus(id="a", state=ShareState.FAILED, error=error)) == [("a", "failed, auth: cannot log in")]
    assert guest() == [("a", "is not in its report")]


def test_a_guest_that_is_behind_or_silent_says_so() -> None:
    """Once for the VM."""
    mounted = ShareStatus(id="a", state=ShareState.MOUNTED, digest=share_digest(share("a")))
    assert guest(mounted, held=8) == [("", "obeys revision 8, stored is 9")]
    assert guest(mounted, is_stale=True, reported_age_s=300.0) == [("", "has been silent for 5m")]
    assert guest(status=None) == [("", "has never reported")]
