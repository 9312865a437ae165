"""A broker whose store went back in time under a control plane that stays connected."""

from __future__ import annotations

import shutil

import pytest

from controlplane import ControlPlane
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration


async def test_a_catalog_that_went_back_and_grew_again_is_read_anew(broker: Broker, plane: ControlPlane) -> None:
    """What was read before counts no more, though the new sequences go on above the old ones."""
    await plane.publish(share("a"), vms=names(1))
    await broker.stop()
    saved = broker.directory.with_name("saved")
    shutil.copytree(broker.directory, saved)
    await broker.start()
    await plane.link.wait_connected(20)
    await plane.publish(share("lost"), vms=names(1))
    await broker.stop()
    shutil.rmtree(broker.directory)
    saved.rename(broker.directory)
    await broker.start()
    await plane.link.wait_connected(20)
    async with ControlPlane.connect(broker.url) as other:
        await other.publish([share("b"), share("c"), share("d")], vms=names(1))
        expected = [record.share.id for record in await other.shares()]
    assert [record.share.id for record in await plane.shares()] == expected == ["a", "b", "c", "d"]
