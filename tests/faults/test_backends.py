"""Servers, keys and helpers that are wrong, missing, or not there yet."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.drivers.base import Driver, MountCommand, MountContext
from agent.drivers.kernel import NfsDriver, Virtio9pDriver, VirtiofsDriver
from agent.mounts.liveness_watch import Rhythm
from tests.faults.guest import FaultyGuest, codes_of, error_of
from tests.faults.rigged import give_rclone, rclone_share
from tests.faults.timings import Timings
from tests.parts.broker import Broker
from tests.parts.cubefs import CubefsCluster
from tests.parts.engine_rig import EngineRig
from tests.parts.processes import wait_until_ended
from tests.parts.rclone_servers import RcloneServer
from tests.parts.reconciling import guest_on
from weft.errors import ErrorCode
from weft.wire.share import parse_share
from weft.wire.status import ShareState

pytestmark = pytest.mark.integration


async def test_f14_expired_keys_are_told_with_their_own_code_and_new_ones_taken_live(
    rig: EngineRig, s3: RcloneServer, timings: Timings
) -> None:
    """The mount stays as it is, answers ``statvfs``, and works again without a remount."""
    give_rclone(rig)
    rig.rhythm = Rhythm(interval_s=0.1, deadline_s=1, read_every=2, read_deadline_s=2)
    options = {"dir-cache-time": "100ms", "low-level-retries": "1"}
    async with guest_on(rig) as guest:
        await guest.settle(rclone_share(rig, s3, path="bucket", **options))
        pid = rig.pid_of("a")
        await s3.rotate_keys()
        timings.injected()
        await rig.wait_for_change(lambda error: error is not None and error.code is ErrorCode.AUTH)
        timings.detected()
        await guest.until_states(a=ShareState.DEGRADED)
        guest.want(rclone_share(rig, s3, path="bucket", **options))
        await guest.until_states(a=ShareState.MOUNTED)
        timings.repaired()
        assert rig.pid_of("a") == pid
        assert await asyncio.to_thread((rig.root / "a" / "hello.txt").read_text) == "s3"


async def test_f15_permanent_failure_waits_for_a_changed_spec(
    guest: FaultyGuest, s3: RcloneServer, cluster: CubefsCluster, timings: Timings
) -> None:
    """Wrong keys and unknown volumes are tried once, whatever else is published; what helps is a correction."""
    wrong = {**s3.config, "secret_access_key": "0" * 40}
    good = guest.rclone("a", config=s3.config, path="bucket"), guest.cubefs("b", cluster)
    bad = guest.rclone("a", config=wrong, path="bucket"), guest.cubefs("b", cluster, volume="none")
    async with guest.agent:
        timings.injected()
        await guest.publish(*bad)
        await guest.agent.until_states(a="failed", b="failed")
        timings.detected()
        await guest.publish(*bad, guest.bind("c"))
        status = await guest.agent.until_states(a="failed", b="failed", c="mounted")
        assert codes_of(status) == {"a": "auth", "b": "not_found"}
        assert [share.get("attempts") for share in status["shares"][:2]] == [1, 1]
        assert not any("retry_at" in error_of(status, name) for name in "ab")
        await guest.settle(*good)
        timings.repaired()
        await guest.settle()


async def test_f16_options_that_the_kernel_rewrote_are_no_drift(guest: FaultyGuest, timings: Timings) -> None:
    """Nor are those that an administrator changed: what was asked for is compared, and the mount stays."""
    shares = guest.bind("a", readonly=True), guest.rclone("b")
    async with guest.agent:
        await guest.settle(*shares)
        ids = [guest.entries_at(name)[0].mount_id for name in "ab"]
        timings.injected()
        guest.remount("a", "bind,ro,noatime,noexec")
        guest.remount("b", "bind,noatime,noexec")
        await guest.settle(*shares)
        await guest.agent.stop()
        await guest.agent.start()
        await guest.until_mounted("a", "b")
        timings.repaired()
        assert [guest.entries_at(name)[0].mount_id for name in "ab"] == ids
        await guest.settle()


class StandIn(Driver):
    """A driver whose mount(8) mounts a tmpfs, for file systems that this machine's kernel does not have."""

    def build(self, context: MountContext) -> MountCommand:
        """Build the real command, and expect what the stand-in mounts."""
        return replace(super().build(context), fs_types=frozenset({"tmpfs"}), source=None)


class StandInNfs(StandIn, NfsDriver):
    """nfs."""


class StandInVirtiofs(StandIn, VirtiofsDriver):
    """virtiofs."""


class StandInVirtio9p(StandIn, Virtio9pDriver):
    """virtio9p."""


def stand_in_for_mount(rig: EngineRig, refusal: str) -> Path:
    """Give the guest a mount(8) that refuses in the real one's words until a file is there, and return that file."""
    marker, program = rig.directory / "is-there", rig.directory / "mount"
    program.write_text(
        "#!/bin/sh\n"
        f'[ -e {marker} ] || {{ echo "mount: {refusal}" >&2; exit 32; }}\n'
        "for last; do :; done\n"
        f'echo "$@" >> {rig.directory}/asked\n'
        'exec /usr/bin/mount -t tmpfs stand-in "$last"\n'
    )
    program.chmod(0o755)
    rig.more_drivers = {driver.name: driver for driver in (StandInNfs(), StandInVirtiofs(), StandInVirtio9p())}
    rig.more_programs = {"mount": program, "mount.nfs": program}
    return marker


def appear(marker: Path) -> None:
    """Have what was missing appear."""
    marker.touch()


async def appears_later(rig: EngineRig, timings: Timings, code: str, marker: Path, *fields: Mapping[str, Any]) -> str:
    """Want shares that cannot be mounted yet, have what they need appear, and return what mount(8) was asked for."""
    shares = [parse_share({"mount_point": str(rig.root / str(field["id"])), **field}) for field in fields]
    async with guest_on(rig) as guest:
        timings.injected()
        guest.want(*shares)
        await guest.until_states(**{share.id: ShareState.BACKOFF for share in shares})
        timings.detected()
        assert {standing.fault.code for standing in guest.reconciler.progress.standings.values() if standing.fault} == {
            code
        }
        appear(marker)
        await guest.until_states(**{share.id: ShareState.MOUNTED for share in shares})
        timings.repaired()
    return (rig.directory / "asked").read_text()


async def test_f17_nfs_server_that_is_gone_gives_errors_not_hangs_and_is_tried_again(
    rig: EngineRig, timings: Timings
) -> None:
    """The mount is soft, so that no process waits for ever, and it is mounted when the server returns."""
    marker = stand_in_for_mount(rig, "mount.nfs: Connection refused")
    nfs = {"id": "n", "backend": "nfs", "nfs": {"server": "127.0.0.1", "export": "/export"}}
    asked = await appears_later(rig, timings, "unreachable", marker, nfs)
    assert "soft" in asked.split("-o ")[1].split(" ")[0].split(",")
    assert "127.0.0.1:/export" in asked


async def test_f19_tag_that_is_not_there_yet_is_tried_until_it_appears(rig: EngineRig, timings: Timings) -> None:
    """A device may be plugged in later, or be late at boot."""
    refusal = "wrong fs type, bad option, bad superblock on tag; special device tag does not exist"
    marker = stand_in_for_mount(rig, refusal)
    shares = [{"id": name, "backend": name, name: {"tag": "tag"}} for name in ("virtiofs", "virtio9p")]
    asked = await appears_later(rig, timings, "not_found", marker, *shares)
    assert {line.partition("-t ")[2].split(" ")[0] for line in asked.splitlines()} == {"virtiofs", "9p"}


async def test_f22_guest_that_boots_before_its_network_mounts_when_that_comes(
    guest: FaultyGuest, sftp: RcloneServer, broker: Broker, timings: Timings
) -> None:
    """The ledger says what; neither broker nor server need be there, and what needs neither is up at once."""
    async with guest.agent:
        await guest.settle(guest.rclone("a", config=sftp.config), guest.rclone("b"))
        await guest.agent.stop()
        for name in "ab":
            await wait_until_ended(guest.kill_client(name))
            guest.unmount_behind(name)
        await broker.stop()
        await sftp.kill()
        timings.injected()
        await guest.agent.start()
        status = await guest.agent.until_states(a="backoff", b="mounted")
        timings.detected()
        assert (status["mode"], error_of(status, "a")["code"]) == ("offline", "unreachable")
        await sftp.start()
        await guest.until_mounted("a", "b")
        timings.repaired()
        assert await guest.read("a") == "sftp"
        await broker.start()
        await guest.agent.until(lambda status: status["mode"] == "jetstream")
        await guest.settle()


async def test_f30_missing_helper_is_named_and_found_once_it_is_installed(
    guest: FaultyGuest, cluster: CubefsCluster, timings: Timings
) -> None:
    """With the package that brings it; ``weft-agent doctor`` says so before anything is published."""
    away = cluster.client.rename(cluster.client.with_name("not-installed"))
    async with guest.agent:
        timings.injected()
        await guest.publish(guest.cubefs("a", cluster))
        status = await guest.agent.until_states(a="failed")
        timings.detected()
        assert error_of(status, "a")["code"] == "helper_missing"
        assert "cfs-client" in error_of(status, "a")["message"]
        status = await guest.agent.until(lambda status: "backends" in status["agent"])
        assert status["agent"]["backends"]["cubefs"] is None
        assert "cfs-client" in await guest.doctor()
        away.rename(cluster.client)
        await guest.agent.ask("retry", id="a")
        await guest.until_mounted("a")
        timings.repaired()
        await guest.settle()
