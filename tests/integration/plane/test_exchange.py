"""The catalog out and in: as a file, from the stream, and after the broker's store was lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nats
import pytest

from controlplane import ControlPlane
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import count_stored, stored_sets
from tests.integration.plane.test_absence import delete_stream
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.parts.reporting import tell
from tests.unit.controlplane.makers import share
from weft.errors import CatalogBehindError, CatalogError, ConfigError, ConfirmationNeededError
from weft.wire.status import VmStatus, encode_status

pytestmark = pytest.mark.integration

BLOCK = {"volume": "v", "masters": ["m1:17010"], "owner": "o", "secret_key": "hunter2"}


async def fill(plane: ControlPlane) -> None:
    """A class of twenty with one share each may see, one VM with another."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", names(20))
    await plane.publish(share("docs", cubefs=BLOCK), classes=["algebra"], owner="ada")
    await plane.publish(share("home", mount_point="/home/{vm}"), classes=["algebra"])
    await plane.publish(share("own"), vms=["vm-3"])


async def lose_catalog(broker: Broker, plane: ControlPlane) -> None:
    await delete_stream(broker, "KV_weft-catalog")
    await plane.init()


async def test_an_export_brings_a_lost_catalog_back(broker: Broker, plane: ControlPlane) -> None:
    """Classes, owners and targets too; no VM's list changes, and everything goes on from there."""
    await fill(plane)
    text = json.dumps(await plane.export(show_secrets=True))
    before = await stored_sets(broker)
    await lose_catalog(broker, plane)
    with pytest.raises(CatalogBehindError, match="weft import"):
        await plane.sync()
    fan_out = await plane.import_catalog(text)
    assert (fan_out.is_complete, dict(fan_out.stored)) == (True, {})
    assert await stored_sets(broker) == before
    assert (await plane.share("docs")).owner == "ada"
    again = await plane.add_members("algebra", ["new"])
    assert set(again.stored) == {"new"}
    assert (await plane.diff()).differences[0].side == "guest"


async def test_an_old_export_does_not_take_what_came_after_it(broker: Broker, plane: ControlPlane) -> None:
    """While it takes a lost catalog's place, the loss of a single share asks."""
    await fill(plane)
    text = json.dumps(await plane.export(show_secrets=True))
    await plane.publish(share("later"), vms=["vm-7"])
    await lose_catalog(broker, plane)
    with pytest.raises(ConfirmationNeededError) as caught:
        await plane.import_catalog(text)
    assert (caught.value.vms, caught.value.share_ids) == (("vm-7",), ("later",))
    assert await plane.shares() == []
    fan_out = await plane.import_catalog(text, assume_yes=True)
    assert set(fan_out.stored) == {"vm-7"}


async def test_importing_what_was_exported_changes_nothing(broker: Broker, plane: ControlPlane) -> None:
    """Without secrets in the file; and it cannot fill an empty catalog."""
    await fill(plane)
    text = json.dumps(await plane.export())
    stored = await count_stored(broker)
    assert "hunter2" not in text
    assert (await plane.plan_import(text)).lines == ()
    assert (await plane.import_catalog(text, prune=True)).vms == ()
    assert await count_stored(broker) == stored
    await lose_catalog(broker, plane)
    with pytest.raises(ConfigError, match="--show-secrets"):
        await plane.import_catalog(text)


async def test_pruning_asks_and_then_takes_away(broker: Broker, plane: ControlPlane) -> None:
    """Even from a single VM."""
    await fill(plane)
    document = await plane.export(show_secrets=True)
    document["shares"] = [item for item in document["shares"] if item["share"]["id"] != "own"]
    text = json.dumps(document)
    assert (await plane.plan_import(text, prune=True)).lines == ("- share own",)
    assert (await plane.import_catalog(text)).vms == ()
    with pytest.raises(ConfirmationNeededError):
        await plane.import_catalog(text, prune=True)
    fan_out = await plane.import_catalog(text, prune=True, assume_yes=True)
    assert set(fan_out.stored) == {"vm-3"}
    assert [record.share.id for record in await plane.shares()] == ["docs", "home"]


async def test_a_lost_catalog_is_recovered_from_the_stream(broker: Broker, plane: ControlPlane) -> None:
    """Every VM has what it had, nothing is published, and publishing works again."""
    await fill(plane)
    before = await stored_sets(broker)
    await lose_catalog(broker, plane)
    recovery = await plane.recover()
    assert recovery.lines == ("+ share docs: on 20 VMs", "+ share home: on 20 VMs", "+ share own: on 1 VMs")
    assert recovery.warnings == ()
    assert (await plane.share("home")).share.mount_point == "/home/{vm}"
    found = await plane.sync()
    assert (len(found.unchanged), dict(found.stored)) == (20, {})
    assert await stored_sets(broker) == before
    assert (await plane.publish(share("more"), vms=["vm-1"])).is_complete
    with pytest.raises(CatalogError, match="nothing is lost"):
        await plane.recover()


async def test_an_older_catalog_is_refused_and_recovered(broker: Broker, plane: ControlPlane) -> None:
    """After its store was put back from yesterday, nothing is published until it knows what the stream does."""
    await fill(plane)
    store = broker.directory / "store" / "jetstream"
    (bucket,) = store.glob("*/streams/KV_weft-catalog")
    await broker.stop()
    shutil.copytree(bucket, broker.directory / "yesterday")
    await broker.start()
    async with ControlPlane.connect(broker.url) as today:
        await today.update("docs", {"readonly": True})
        await today.unpublish("own")
        await today.publish(share("later"), vms=["vm-7"])
    before = await stored_sets(broker)
    await broker.stop()
    shutil.rmtree(bucket)
    shutil.move(broker.directory / "yesterday", bucket)
    await broker.start()
    async with ControlPlane.connect(broker.url) as tomorrow:
        for command in (tomorrow.sync(assume_yes=True), tomorrow.add_members("algebra", ["x"]), tomorrow.diff()):
            with pytest.raises(CatalogBehindError, match="ends at"):
                await command
        recovery = await tomorrow.recover()
        assert [line[0] for line in recovery.lines] == ["~", "+", "-"]
        found = await tomorrow.sync()
        assert dict(found.stored) == {}
        assert (await tomorrow.share("docs")).owner == "ada"
        assert (await tomorrow.share("docs")).targets.classes == ("algebra",)
        assert not (await tomorrow.share("own")).enabled
        assert (await tomorrow.add_members("algebra", ["x"])).is_complete
    assert {vm: message for vm, message in (await stored_sets(broker)).items() if vm != "x"} == before


async def test_revisions_grow_after_the_brokers_store_was_lost(broker: Broker, plane: ControlPlane) -> None:
    """What guests say they hold counts, also where their clock ran ahead of ours."""
    await fill(plane)
    text = json.dumps(await plane.export(show_secrets=True))
    held = {vm: message.revision + 3_600_000 for vm, message in (await stored_sets(broker)).items()}
    await plane.link.close()
    await _lose_store(broker)
    async with ControlPlane.connect(broker.url) as after:
        await after.init()
        nc = await nats.connect(broker.url)
        for vm, revision in held.items():
            status = VmStatus(vm=vm, held_revision=revision, revision=revision)
            await tell(nc, f"weft.status.{vm}", encode_status(status))
        await nc.close()
        async with Guests(broker.url):
            fan_out = await after.import_catalog(text)
            assert (await after.wait(fan_out, timeout_s=20)).is_converged
    assert len(fan_out.stored) == 20
    assert all(revision > held[vm] for vm, revision in fan_out.stored.items())


async def _lose_store(broker: Broker) -> None:
    await broker.stop()
    store: Path = broker.directory / "store"
    shutil.rmtree(store)
    await broker.start()


async def test_a_difference_is_found_where_it_is(broker: Broker, plane: ControlPlane) -> None:
    """In the stream until a sync, in guests until they report; an unused fleet has none."""
    assert (await plane.diff()).differences == ()
    async with Guests(broker.url, silent=["vm-4"]):
        fan_out = await plane.publish(share("a"), vms=names(5))
        await plane.wait(fan_out, timeout_s=3)
        (silent,) = (await plane.diff()).differences
        assert (silent.vm, silent.side, silent.what) == ("vm-4", "guest", "has never reported")
        nc = await nats.connect(broker.url)
        await nc.jetstream().purge_stream("weft-mounts", subject="weft.mounts.vm-1")
        await nc.close()
        (purged,) = (await plane.diff(["vm-1"])).differences
        assert (purged.side, purged.what) == ("stream", "no list is stored for it")
        repaired = await plane.sync()
        standing = await plane.standing(repaired)
        assert set(repaired.stored) == {"vm-1"}
        assert "vm-4" in standing.waiting
        await plane.wait(repaired, timeout_s=3)
    assert {item.vm for item in (await plane.diff()).differences} == {"vm-4"}
