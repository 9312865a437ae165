"""Which share serves a path, asked from the operator's side."""

from __future__ import annotations

import pytest

from controlplane import ControlPlane
from tests.integration.plane.guests import Guests, mounted
from tests.parts.broker import Broker
from tests.parts.shares import bind
from weft.errors import DecodeError, ErrorCode, UnknownNameError
from weft.wire.share import ShareMount
from weft.wire.status import ShareError, ShareState, ShareStatus

pytestmark = pytest.mark.integration

BASE = bind("base", "/mnt/team")
DOCS = bind("docs", "/mnt/team/docs")


def docs_fails(vm: str, share: ShareMount) -> ShareStatus:
    if share.id != "docs":
        return mounted(vm, share)
    error = ShareError(code=ErrorCode.NOT_FOUND, message="its source does not exist")
    return ShareStatus(id=share.id, mount_point=share.mount_point, state=ShareState.FAILED, error=error)


async def test_the_winner_of_a_path_and_what_is_there_instead(broker: Broker, plane: ControlPlane) -> None:
    """The stored list says who serves the path, the report who does until then."""
    async with Guests(broker.url, judge=docs_fails):
        await plane.wait(await plane.publish([BASE, DOCS], vms=["vm-1"]), timeout_s=20)
        found = await plane.route("vm-1", "/mnt/team/docs/plan")
    assert (found.answer.winner, found.answer.state, found.answer.shown_by) == ("docs", ShareState.FAILED, "base")
    assert [each.id for each in found.answer.candidates] == ["docs", "base"]
    assert found.doubts == ()


async def test_a_guest_that_does_not_obey_yet_is_said(broker: Broker, plane: ControlPlane) -> None:
    """An answer from a list that the guest does not hold is no answer about the guest."""
    await plane.publish(BASE, vms=["vm-1"])
    found = await plane.route("vm-1", "/mnt/team")
    assert (found.answer.winner, found.answer.state) == ("base", None)
    assert found.doubts == ("vm-1 has never reported",)


async def test_a_vm_without_a_list_has_no_winner(plane: ControlPlane) -> None:
    """A member of a class that has no share yet."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", ["vm-1"])
    found = await plane.route("vm-1", "/mnt/team")
    assert found.answer.winner is None
    assert "nothing is stored for this VM" in found.doubts


async def test_an_unknown_vm_and_a_relative_path_are_refused(plane: ControlPlane) -> None:
    """Before any answer is made up."""
    await plane.publish(BASE, vms=["vm-1"])
    with pytest.raises(UnknownNameError):
        await plane.route("vm-2", "/mnt/team")
    with pytest.raises(DecodeError):
        await plane.route("vm-1", "mnt/team")
