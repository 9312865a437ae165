"""Credentials that may not publish to everybody."""

from __future__ import annotations

import asyncio

import pytest

from controlplane import ControlPlane
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration

DENYING = """
authorization {
  users = [
    {
      user: op, password: op,
      permissions: { publish: { allow: [">"], deny: ["weft.mounts.vm-2", "weft.mounts.big-7"] } }
    }
  ]
}
"""


async def test_a_denied_subject_is_a_failure_at_once(broker: Broker) -> None:
    """The broker answers a denied message with nothing; the others are stored all the same."""
    await broker.restart(config=DENYING)
    async with ControlPlane.connect(f"nats://op:op@{broker.host}:{broker.port}") as plane:
        await plane.init()
        async with asyncio.timeout(4):
            fan_out = await plane.publish(share("a"), vms=["vm-1", "vm-2", "vm-3"])
    assert set(fan_out.stored) == {"vm-1", "vm-3"}
    assert fan_out.failed == {"vm-2": "the stream refused it: the broker denies it to these credentials"}


async def test_a_denied_subject_in_a_large_fan_out_is_a_failure(broker: Broker) -> None:
    """Within a batch the broker reports a gap there."""
    await broker.restart(config=DENYING)
    async with ControlPlane.connect(f"nats://op:op@{broker.host}:{broker.port}") as plane:
        await plane.init()
        fan_out = await plane.publish(share("a"), vms=[f"big-{number}" for number in range(40)])
    assert (len(fan_out.stored), set(fan_out.failed)) == (39, {"big-7"})
