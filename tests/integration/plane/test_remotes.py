"""Remotes against a real broker."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane import ControlPlane
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import count_stored, stored_sets
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from weft.errors import CatalogError, UnknownNameError
from weft.wire.share import ShareMount, parse_share

pytestmark = pytest.mark.integration

S3: dict[str, Any] = {"type": "s3", "config": {"endpoint": "http://127.0.0.1:9000", "secret_access_key": "old"}}


def in_minio(share_id: str, path: str) -> ShareMount:
    block = {"type": "s3", "path": path}
    return parse_share({"id": share_id, "mount_point": f"/srv/{share_id}", "backend": "rclone", "rclone": block})


async def test_one_rotation_reaches_every_share_in_one_fan_out(broker: Broker, plane: ControlPlane) -> None:
    """One message per VM, the new key in each share, and no share's record holds it."""
    await plane.set_remote("minio", "rclone", S3)
    async with Guests(broker.url):
        await plane.publish(in_minio("docs", "docs"), vms=names(10), remote="minio")
        await plane.publish(in_minio("home", "homes/{vm}"), vms=names(10), remote="minio")
        before = await count_stored(broker)
        fan_out = await plane.update_remote("minio", {"config.secret_access_key": "new"})
        assert (await plane.wait(fan_out, timeout_s=20)).is_converged
    assert await count_stored(broker) == before + 10
    assert (fan_out.share_ids, len(fan_out.stored)) == (("docs", "home"), 10)
    for vm, message in (await stored_sets(broker)).items():
        blocks = {item.id: item.rclone for item in message.shares}
        assert {block.config["secret_access_key"] for block in blocks.values() if block} == {"new"}
        assert blocks["home"] is not None
        assert blocks["home"].path == f"homes/{vm}"
    record = await plane.share("docs")
    assert record.remote == "minio"
    assert record.share.rclone is not None
    assert "secret_access_key" not in record.share.rclone.config


async def test_a_remote_that_is_used_stays(broker: Broker, plane: ControlPlane) -> None:
    """An unused one goes, an unknown one is an error."""
    await plane.set_remote("minio", "rclone", S3)
    await plane.publish(in_minio("docs", "docs"), vms=["vm-1"], remote="minio")
    with pytest.raises(CatalogError, match="docs"):
        await plane.delete_remote("minio")
    await plane.unpublish("docs")
    await plane.delete_remote("minio")
    assert await plane.remotes() == {}
    with pytest.raises(UnknownNameError, match="remote"):
        await plane.publish(in_minio("docs", "docs"), vms=["vm-1"], remote="minio")


async def test_publishing_with_another_source_leaves_the_remote(broker: Broker, plane: ControlPlane) -> None:
    """A share that says everything itself follows no remote."""
    await plane.set_remote("minio", "rclone", S3)
    await plane.publish(in_minio("docs", "docs"), vms=["vm-1"], remote="minio")
    own = {"type": "s3", "path": "x", "config": {"secret_access_key": "own"}}
    await plane.publish(parse_share({"id": "docs", "mount_point": "/srv/docs", "backend": "rclone", "rclone": own}))
    fan_out = await plane.update_remote("minio", {"config.secret_access_key": "new"})
    assert fan_out.vms == ()
    (message,) = (await stored_sets(broker)).values()
    assert message.shares[0].rclone is not None
    assert message.shares[0].rclone.config == {"secret_access_key": "own"}
