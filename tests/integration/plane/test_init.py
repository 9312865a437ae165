"""Making a broker ready."""

from __future__ import annotations

import nats
import pytest
from nats.js.api import DiscardPolicy, StorageType

from controlplane import ControlPlane
from tests.parts.broker import Broker
from weft.errors import NoJetStreamError, StreamMissingError, StreamSettingsError

pytestmark = pytest.mark.integration
ALL = ("weft-mounts", "weft-status", "weft-events", "weft-guest-events", "weft-catalog")


async def test_init_twice_is_the_same_as_once(broker: Broker) -> None:
    """The first run makes everything, the second changes nothing, and the catalog stays the same one."""
    async with ControlPlane.connect(broker.url) as plane:
        first = await plane.init()
        second = await plane.init()
    assert (first.created, first.upgraded, first.verified) == (ALL, (), ())
    assert (second.created, second.upgraded, second.verified) == ((), (), ALL)


async def test_init_upgrades_a_plain_stream_in_place(broker: Broker) -> None:
    """What another program stored there stays."""
    nc = await nats.connect(broker.url)
    js = nc.jetstream()
    await js.add_stream(name="weft-mounts", subjects=["weft.mounts.*"], max_msgs_per_subject=1)
    await js.publish("weft.mounts.vm-1", b"{}")
    async with ControlPlane.connect(broker.url) as plane:
        report = await plane.init()
    info = await js.stream_info("weft-mounts")
    await nc.close()
    assert report.upgraded == ("weft-mounts",)
    assert info.config.allow_direct
    assert info.config.discard == DiscardPolicy.NEW
    assert info.config.republish is not None
    assert info.config.republish.dest == "weft.live.{{wildcard(1)}}"
    assert info.state.messages == 1


async def test_init_upgrades_a_plain_bucket_in_place(broker: Broker) -> None:
    """A bucket made by hand keeps its entries and gets its history."""
    nc = await nats.connect(broker.url)
    bucket = await nc.jetstream().create_key_value(bucket="weft-catalog")
    await bucket.put("class.algebra", b"{}")
    async with ControlPlane.connect(broker.url) as plane:
        report = await plane.init()
        assert "algebra" in await plane.classes()
    await nc.close()
    assert report.upgraded == ("weft-catalog",)


async def test_a_stream_with_other_storage_is_refused(broker: Broker) -> None:
    """The error names the setting, what it is and what it should be."""
    nc = await nats.connect(broker.url)
    await nc.jetstream().add_stream(name="weft-mounts", subjects=["weft.mounts.*"], storage=StorageType.MEMORY)
    await nc.close()
    async with ControlPlane.connect(broker.url) as plane:
        with pytest.raises(StreamSettingsError) as caught:
            await plane.init()
    assert (caught.value.stream, caught.value.field, caught.value.have) == ("weft-mounts", "storage", "memory")


async def test_subjects_that_another_stream_owns_are_named(broker: Broker) -> None:
    """The error says which stream is in the way."""
    nc = await nats.connect(broker.url)
    await nc.jetstream().add_stream(name="OTHER", subjects=["weft.mounts.>"])
    await nc.close()
    async with ControlPlane.connect(broker.url) as plane:
        with pytest.raises(StreamSettingsError, match="OTHER"):
            await plane.init()


async def test_a_broker_without_jetstream_is_told_how_to_get_it(plain_broker: Broker) -> None:
    """Both commands that need it say so, and how to enable it."""
    async with ControlPlane.connect(plain_broker.url) as plane:
        for command in (plane.init, plane.shares):
            with pytest.raises(NoJetStreamError, match="jetstream"):
                await command()


async def test_commands_before_init_name_it(broker: Broker) -> None:
    """A missing bucket leads to the command that makes it."""
    async with ControlPlane.connect(broker.url) as plane:
        with pytest.raises(StreamMissingError, match="weft init"):
            await plane.shares()
