"""Fan-outs against a real broker."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import nats
import pytest

from controlplane import ControlPlane
from controlplane.catalog import Catalog
from controlplane.edits import record_edit
from controlplane.results import Progress
from tests.integration.plane.stored import count_stored, stored_set, stored_sets
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share
from weft.errors import CatalogConflictError, RosterError, StreamMissingError, UnknownNameError
from weft.wire.ids import ShareId
from weft.wire.share import share_to_builtins

pytestmark = pytest.mark.integration


def names(count: int) -> list[str]:
    return [f"vm-{number}" for number in range(count)]


async def stream_update(broker: Broker, **settings: Any) -> None:
    nc = await nats.connect(broker.url)
    have = json.loads((await nc.request("$JS.API.STREAM.INFO.weft-mounts", b"")).data)["config"]
    answer = await nc.request("$JS.API.STREAM.UPDATE.weft-mounts", json.dumps({**have, **settings}).encode())
    await nc.close()
    assert "error" not in json.loads(answer.data)


async def put_single(broker: Broker, vm: str, message: dict[str, Any]) -> None:
    nc = await nats.connect(broker.url)
    await nc.jetstream().publish(f"weft.mounts.{vm}", json.dumps(message).encode())
    await nc.close()


async def test_every_vm_of_a_class_is_acknowledged(broker: Broker, plane: ControlPlane) -> None:
    """What the result calls stored is what the stream holds."""
    seen: list[Progress] = []
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(1000))
    fan_out = await plane.publish(share("tools"), classes=["algebra"], on_progress=seen.append)
    held = await stored_sets(broker)
    assert fan_out.is_complete
    assert fan_out.stored == {vm: message.revision for vm, message in held.items()}
    assert len(held) == 1000
    assert all([item.id for item in message.shares] == ["tools"] for message in held.values())
    assert seen[-1] == Progress("publish", 1000, 1000)


async def test_ten_thousand_vms_in_one_fan_out(broker: Broker, plane: ControlPlane) -> None:
    """Every one of them is acknowledged, and a repetition stores nothing."""
    await plane.create_class("all")
    await plane.add_members("all", names(10_000))
    first = await plane.publish(share("tools"), classes=["all"])
    stored = await count_stored(broker)
    again = await plane.publish(share("tools"), classes=["all"])
    assert (len(first.stored), first.is_complete) == (10_000, True)
    assert (len(again.unchanged), len(again.stored)) == (10_000, 0)
    assert stored == await count_stored(broker) == 10_000


async def test_a_stream_without_batches_still_acknowledges_every_vm(broker: Broker, plane: ControlPlane) -> None:
    """A stream that another program made, or an older server, takes single publishes."""
    await stream_update(broker, allow_batched=False)
    fan_out = await plane.publish(share("tools"), vms=names(600))
    assert (len(fan_out.stored), fan_out.is_complete) == (600, True)


async def test_several_shares_go_out_in_one_message(broker: Broker, plane: ControlPlane) -> None:
    """No VM sees a state in between, and no single share stands at the top level."""
    await plane.publish([share("a"), share("b")], vms=["vm-1"])
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert [item.id for item in message.shares] == ["a", "b"]
    assert message.changed is None
    assert await count_stored(broker) == 1


async def test_revisions_grow_and_the_changed_share_leads(broker: Broker, plane: ControlPlane) -> None:
    """An agent that knows only single messages finds the share at the top level."""
    first = await plane.publish(share("a"), vms=["vm-1"])
    second = await plane.publish(share("a", readonly=True), vms=["vm-1"])
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert second.stored["vm-1"] > first.stored["vm-1"]  # type: ignore[index]
    assert message.changed == share("a", readonly=True)


async def test_a_dry_run_writes_nothing(broker: Broker, plane: ControlPlane) -> None:
    """Not into the catalog either."""
    fan_out = await plane.publish(share("a"), vms=["vm-1"], dry_run=True)
    assert set(fan_out.stored) == {"vm-1"}
    assert await plane.shares() == []
    assert await count_stored(broker) == 0


async def test_two_publishers_at_once_both_arrive(broker: Broker, plane: ControlPlane) -> None:
    """Whoever loses a VM's message reads it again, and nobody's share is lost."""
    async with ControlPlane.connect(broker.url, operator="other") as other:
        left, right = await asyncio.gather(
            plane.publish(share("left"), vms=names(300)), other.publish(share("right"), vms=names(300))
        )
    held = await stored_sets(broker)
    assert left.is_complete
    assert right.is_complete
    assert all({item.id for item in message.shares} == {"left", "right"} for message in held.values())
    assert len(held) == 300


async def test_of_two_operators_changing_one_share_the_later_is_told(broker: Broker, plane: ControlPlane) -> None:
    """Both saw the same edition; one wins, and nothing of it is overwritten."""
    await plane.publish(share("a"), vms=["vm-1"])
    catalog = Catalog(plane.link)
    seen = await catalog.load()
    await plane.publish(share("a", priority=1))
    theirs = msgspec.structs.replace(seen.shares[ShareId("a")], share=share("a", priority=2))
    with pytest.raises(CatalogConflictError, match=r"share\.a"):
        await catalog.write([record_edit(seen, theirs)])
    assert (await plane.share("a")).share.priority == 1


async def test_a_full_stream_refuses_new_vms_and_says_so(broker: Broker, plane: ControlPlane) -> None:
    """Nobody else's state is evicted, and the refused ones are named."""
    await plane.publish(share("a"), vms=names(20))
    await stream_update(broker, max_msgs=20)
    fan_out = await plane.publish(share("a", priority=1), vms=names(40))
    assert set(fan_out.stored) == set(names(20))
    assert set(fan_out.failed) == set(names(40)[20:])
    assert all("stream 'weft-mounts' is full" in reason for reason in fan_out.failed.values())
    assert len(await stored_sets(broker)) == 20


async def test_a_list_larger_than_the_broker_takes_is_refused_by_size(broker: Broker) -> None:
    """Only the VM whose list is too large; the sizes are in the reason."""
    await broker.restart(config="max_payload: 4096")
    async with ControlPlane.connect(broker.url) as plane:
        await plane.init()
        texts = {f"k{number}": "x" * 60 for number in range(20)}
        await plane.publish(share("a", labels=texts), vms=["vm-1", "vm-2"])
        await plane.publish(share("b", labels=texts), vms=["vm-1"])
        fan_out = await plane.publish(share("c", labels=texts), vms=["vm-1", "vm-2"])
    assert set(fan_out.stored) == {"vm-2"}
    assert "too large" in fan_out.failed["vm-1"]  # type: ignore[index]


async def test_a_missing_stream_is_named_before_anything_is_written(broker: Broker, plane: ControlPlane) -> None:
    """The catalog does not get ahead of a stream that is not there."""
    nc = await nats.connect(broker.url)
    await nc.jetstream().delete_stream("weft-mounts")
    await nc.close()
    with pytest.raises(StreamMissingError, match="weft-mounts"):
        await plane.publish(share("a"), vms=["vm-1"])
    assert await plane.shares() == []


async def test_a_single_message_is_taken_over(broker: Broker, plane: ControlPlane) -> None:
    """What another program attached stays in the list, and is in the catalog from then on."""
    await put_single(broker, "vm-1", share_to_builtins(share("theirs")))
    fan_out = await plane.publish(share("ours"), vms=["vm-1"])
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert [item.id for item in message.shares] == ["ours", "theirs"]
    assert await plane.targets("theirs") == ("vm-1",)
    assert fan_out.is_complete


async def test_unpublishing_what_arrived_as_a_single_names_it_as_gone(broker: Broker, plane: ControlPlane) -> None:
    """A list without it would not be enough for a guest that got it as a single message."""
    await put_single(broker, "vm-1", share_to_builtins(share("theirs")))
    await plane.sync()
    await plane.unpublish("theirs")
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert message.shares == ()
    assert message.gone == ("theirs",)
    assert message.changed is not None
    assert message.changed.is_unmount


async def test_unpublish_for_one_member_touches_only_it(broker: Broker, plane: ControlPlane) -> None:
    """The others' messages stay as they are."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(5))
    await plane.publish(share("a"), classes=["algebra"])
    fan_out = await plane.unpublish("a", vms=["vm-3"])
    held = await stored_sets(broker)
    assert set(fan_out.stored) == {"vm-3"}
    assert held["vm-3"].shares == ()
    assert [item.id for item in held["vm-2"].shares] == ["a"]


async def test_members_gain_and_lose_the_shares_of_their_class(broker: Broker, plane: ControlPlane) -> None:
    """A late joiner gets what the class has; a leaver loses it."""
    await plane.create_class("algebra")
    await plane.publish(share("a"), classes=["algebra"])
    await plane.add_members("algebra", ["vm-1"])
    joined = await stored_set(broker, "vm-1")
    await plane.remove_members("algebra", ["vm-1"])
    left = await stored_set(broker, "vm-1")
    assert joined is not None
    assert [item.id for item in joined.shares] == ["a"]
    assert left is not None
    assert left.shares == ()


async def test_deleting_a_class_with_its_shares_takes_them_from_its_vms(broker: Broker, plane: ControlPlane) -> None:
    """The share stays in the catalog, for nobody."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(3))
    await plane.publish(share("a"), classes=["algebra"])
    fan_out = await plane.delete_class("algebra", with_shares=True)
    assert set(fan_out.stored) == set(names(3))
    assert all(message.shares == () for message in (await stored_sets(broker)).values())
    assert await plane.classes() == {}
    assert (await plane.share("a")).targets.is_empty


async def test_unknown_names_suggest_the_nearest(plane: ControlPlane) -> None:
    """For classes, shares and VMs alike."""
    await plane.create_class("algebra")
    await plane.publish(share("tools"), vms=["vm-1"])
    with pytest.raises(UnknownNameError, match="algebra"):
        await plane.publish(share("b"), classes=["algebre"])
    with pytest.raises(UnknownNameError, match="tools"):
        await plane.share("tool")
    with pytest.raises(UnknownNameError, match="vm-1"):
        await plane.status(["vm-11"])


async def test_an_empty_class_is_stored_with_a_warning(plane: ControlPlane) -> None:
    """Its VMs may come later."""
    await plane.create_class("algebra")
    fan_out = await plane.publish(share("a"), classes=["algebra"])
    assert fan_out.warnings == ("class 'algebra' has no VMs yet",)
    assert [record.share.id for record in await plane.shares()] == ["a"]


class _Roster:
    def __init__(self, classes: dict[str, list[str]]) -> None:
        self.answer = classes
        self.is_broken = False

    async def classes(self) -> list[str]:
        return list(self.answer)

    async def members(self, name: str) -> list[str]:
        if self.is_broken:
            raise OSError("the directory service is down")
        return self.answer[name]


async def test_a_failing_roster_unmounts_nothing(broker: Broker) -> None:
    """A roster of the caller's own is asked; its failure is an error, never an empty class."""
    roster = _Roster({"algebra": names(3)})
    async with ControlPlane.connect(broker.url, roster=roster) as plane:
        await plane.init()
        await plane.publish(share("a"), classes=["algebra"])
        roster.is_broken = True
        with pytest.raises(RosterError, match="directory service"):
            await plane.sync()
    assert all(len(message.shares) == 1 for message in (await stored_sets(broker)).values())


async def test_publishing_is_noted_in_the_audit(broker: Broker, plane: ControlPlane) -> None:
    """Who did what, and how it went."""
    await plane.publish(share("a"), vms=["vm-1"])
    nc = await nats.connect(broker.url)
    note = await nc.jetstream().get_last_msg("weft-events", "weft.events.op.publish")
    await nc.close()
    event = json.loads(note.data or b"")
    assert (event["who"], event["shares"], event["vms"]["stored"]) == ("teacher", ["a"], 1)


async def test_a_callers_own_client_stays_open(broker: Broker) -> None:
    """The control plane works over it and does not close it."""
    nc = await nats.connect(broker.url)
    async with ControlPlane(nc) as plane:
        await plane.init()
        fan_out = await plane.publish(share("a"), vms=names(50))
    assert nc.is_connected
    await nc.close()
    assert len(fan_out.stored) == 50


async def test_an_unreadable_record_takes_nothing_away(broker: Broker, plane: ControlPlane) -> None:
    """Whoever has the share keeps it and is named; everybody else is served."""
    await plane.publish(share("broken"), vms=["vm-1"])
    nc = await nats.connect(broker.url)
    await nc.jetstream().publish("$KV.weft-catalog.share.broken", b"{}")
    await nc.close()
    fan_out = await plane.publish(share("a"), vms=["vm-1", "vm-2"])
    held = await stored_sets(broker)
    assert set(fan_out.stored) == {"vm-2"}
    assert "'broken'" in fan_out.failed["vm-1"]  # type: ignore[index]
    assert [item.id for item in held["vm-1"].shares] == ["broken"]


async def test_without_jetstream_a_share_can_be_sent_unstored(plain_broker: Broker) -> None:
    """Whoever listens now gets it; the count says sent, not stored."""
    nc = await nats.connect(plain_broker.url)
    heard = await nc.subscribe("weft.mounts.*")
    await nc.flush()
    async with ControlPlane.connect(plain_broker.url) as plane:
        count = await plane.publish_unstored(share("a", mount_point="/srv/{vm}"), ["vm-1"])
    message = await heard.next_msg(timeout=5)
    await nc.close()
    assert count == 1
    assert json.loads(message.data)["mount_point"] == "/srv/vm-1"
