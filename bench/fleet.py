"""A broker of our own, with a class of VMs in its catalog."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from controlplane.broker import EmbeddedBroker
from controlplane.plane import ControlPlane
from weft.wire.blocks import CubefsBlock
from weft.wire.share import ShareMount

CLASS = "algebra"


@asynccontextmanager
async def running_broker() -> AsyncIterator[EmbeddedBroker]:
    """Run a broker with an empty store, which is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as directory:
        async with EmbeddedBroker(Path(directory)) as broker:
            yield broker


@asynccontextmanager
async def running_plane() -> AsyncIterator[tuple[EmbeddedBroker, ControlPlane]]:
    """Run a broker that weft may be used with."""
    async with running_broker() as broker, ControlPlane.connect(broker.url, operator="bench") as plane:
        await plane.init()
        yield broker, plane


@asynccontextmanager
async def running_fleet(vms: int) -> AsyncIterator[tuple[EmbeddedBroker, ControlPlane]]:
    """Run a broker whose catalog has a class of *vms* VMs, each of which has been sent one share."""
    async with running_plane() as (broker, plane):
        await plane.create_class(CLASS)
        await plane.set_members(CLASS, vm_names(vms))
        fan_out = await plane.publish(team_data(0), classes=[CLASS])
        assert len(fan_out.stored) == vms, "the fleet could not be set up"
        yield broker, plane


def vm_names(vms: int) -> list[str]:
    """Name *vms* VMs."""
    return [f"vm-{number:05d}" for number in range(vms)]


def team_data(edition: int) -> ShareMount:
    """Build a share such as many have; each *edition* differs from the others in content only."""
    return ShareMount(
        id="team-data",
        mount_point="/run/weft/shares/team-data",
        cubefs=CubefsBlock(
            volume=f"team{edition}", masters=("10.0.0.1:17010", "10.0.0.2:17010", "10.0.0.3:17010"), owner="team"
        ),
    )
