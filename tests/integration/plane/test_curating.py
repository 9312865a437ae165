"""Saved shares: single fields, on and off, earlier editions, and two operators at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from controlplane import ControlPlane
from controlplane.catalog import Catalog
from controlplane.records import Edit
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import count_stored, stored_set, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import CatalogConflictError, CatalogError, UnknownNameError

pytestmark = pytest.mark.integration


async def shares_of(broker: Broker, vm: str) -> list[str]:
    message = await stored_set(broker, vm)
    return [] if message is None else [item.id for item in message.shares]


async def test_a_rotated_key_reaches_everybody_who_has_the_share(broker: Broker, plane: ControlPlane) -> None:
    """One field changes, all else of share and record stays, and guests converge on it."""
    async with Guests(broker.url):
        await plane.publish(share("a", readonly=True), vms=names(5), owner="ada", labels={"term": "1"})
        fan_out = await plane.update("a", {"cubefs.secret_key": "new"}, labels={"draft": "yes"})
        assert (await plane.wait(fan_out, timeout_s=20)).is_converged
    record = await plane.share("a")
    message = await stored_set(broker, "vm-3")
    assert message is not None
    assert message.shares[0].cubefs is not None
    assert message.shares[0].cubefs.secret_key == "new"
    assert (record.share.readonly, record.owner, record.labels) == (True, "ada", {"term": "1", "draft": "yes"})
    assert len(fan_out.stored) == 5


async def test_a_note_alone_changes_no_vm(broker: Broker, plane: ControlPlane) -> None:
    """Owner and description are for operators."""
    await plane.publish(share("a"), vms=names(3))
    before = await count_stored(broker)
    fan_out = await plane.update("a", description="the old one")
    assert (set(fan_out.unchanged), await count_stored(broker)) == (set(names(3)), before)
    assert (await plane.share("a")).description == "the old one"


async def test_a_disabled_share_is_in_no_vm_and_comes_back_to_its_class(broker: Broker, plane: ControlPlane) -> None:
    """Its class is asked for again although no enabled share is for it."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"])
    off = await plane.disable("a")
    assert await shares_of(broker, "vm-1") == []
    assert [record.enabled for record in await plane.shares(vms=["vm-1"])] == [False]
    on = await plane.enable("a")
    assert set(on.stored) == set(off.stored) == set(names(3))
    assert await shares_of(broker, "vm-1") == ["a"]


async def test_publishing_a_share_that_was_saved_disabled_reaches_its_class(
    broker: Broker, plane: ControlPlane
) -> None:
    """The class it was saved for gets it, though this command names none."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(2))
    await plane.publish(share("a"), classes=["algebra"], disabled=True)
    assert await stored_sets(broker) == {}
    fan_out = await plane.publish(share("a"))
    assert set(fan_out.stored) == set(names(2))


async def test_history_shows_every_edition_and_rollback_brings_one_back(broker: Broker, plane: ControlPlane) -> None:
    """Also after the share was ended; an unknown one has no history."""
    await plane.publish(share("a"), vms=["vm-1"])
    await plane.update("a", {"priority": 3})
    await plane.unpublish("a")
    editions = await plane.history("a")
    assert [(item.who, item.changed, item.is_end) for item in editions] == [
        ("teacher", (), False),
        ("teacher", ("priority",), False),
        ("", (), True),
    ]
    await plane.rollback("a")
    assert (await plane.share("a")).share.priority == 3
    assert await shares_of(broker, "vm-1") == ["a"]
    await plane.rollback("a", to=editions[0].number)
    assert (await plane.share("a")).share.priority == 0
    with pytest.raises(CatalogError, match="there is none"):
        await plane.rollback("a", to=7_000)
    with pytest.raises(UnknownNameError):
        await plane.history("b")


async def test_two_operators_at_once_one_wins_and_the_other_is_told(
    broker: Broker, plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who won, and when, is in the error; what the winner wrote stays, and doing it again adds to it."""
    await plane.publish(share("a"), vms=names(4))
    async with ControlPlane.connect(broker.url, operator="other") as other:
        write = Catalog.write

        async def overtaken(catalog: Catalog, edits: Sequence[Edit], **more: Any) -> None:
            """Let the other operator finish between what this one read and what it writes."""
            monkeypatch.undo()
            await other.update("a", {"uid": 7})
            await write(catalog, edits, **more)

        monkeypatch.setattr(Catalog, "write", overtaken)
        with pytest.raises(CatalogConflictError, match=r"share\.a: other did meanwhile, at 20") as told:
            await plane.update("a", {"priority": 1})
    assert (told.value.who, told.value.keys) == ("other", ("share.a",))
    assert [edition.changed for edition in await plane.history("a")] == [(), ("uid",)]
    await plane.update("a", {"priority": 1})
    held = [message.shares[0] for message in (await stored_sets(broker)).values()]
    assert {(item.uid, item.priority) for item in held} == {(7, 1)}


async def test_filters_find_shares(broker: Broker, plane: ControlPlane) -> None:
    """By what is noted, by whom they are for, and by where they are."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", ["vm-1"])
    await plane.publish(share("a"), classes=["algebra"], owner="ada", labels={"term": "1"})
    await plane.publish(share("b", mount_point="/home/{vm}"), vms=["vm-2"], tenant="maths")

    async def found(**wanted: object) -> list[str]:
        return [record.share.id for record in await plane.shares(**wanted)]  # type: ignore[arg-type]

    assert await found(owner="ada") == ["a"]
    assert await found(vms=["vm-1"]) == ["a"]
    assert await found(classes=["algebra"]) == ["a"]
    assert await found(at="/home/vm-2") == ["b"]
    assert await found(labels={"term": ""}, tenant="maths") == []


async def test_a_vm_that_never_reported_is_warned_about_with_the_nearest(broker: Broker, plane: ControlPlane) -> None:
    """Also where only a report knows the right one, and the catalog nothing of it."""
    async with Guests(broker.url):
        fan_out = await plane.publish(share("a"), vms=["student-07"])
        await plane.wait(fan_out, timeout_s=20)
        await plane.unpublish("a")
    (warning,) = (await plane.publish(share("b"), vms=["studnet-07"])).warnings
    assert warning == "studnet-07 has never reported (did you mean student-07?)"
