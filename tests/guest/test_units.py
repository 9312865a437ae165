"""The units in a booted guest: how exposed systemd finds them, what they allow, and what mounts under them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from weft.deploy import find_data_file

from tests.docs.pages import DOCS, code_of, table_rows
from tests.guest.fleet import Fleet
from tests.guest.inside import agent_pid, shares_in
from tests.guest.nspawn import Guest
from tests.guest.outside import FolderServer, Outside
from tests.guest.rootfs import cache_directory
from tests.guest.template import AGENT_UNIT, SHARES_UNIT, WHEELS, pip_install
from tests.guest.wheelhouse import dependencies_path
from tests.parts.shares import bind
from weft.wire.blocks import CubefsBlock, RcloneBlock
from weft.wire.share import ShareMount

pytestmark = pytest.mark.integration

NOBODY = "nats://127.0.0.1:4222"
SYNC_UNIT = "weft-sync.service"
PAGE = DOCS / "units.md"
PROBE = Path(__file__).with_name("probe_syscalls.py")
CHECKOUT = Path(__file__).parents[2]
CLUSTER = """
import asyncio, json, pathlib, sys
sys.path.insert(0, "/opt/checkout")
from tests.parts.cubefs import CubefsCluster


async def main():
    async with CubefsCluster(pathlib.Path("/srv/cluster")) as cluster:
        volume = cluster.add_volume("team-data", owner="team")
        (volume / "read.me").write_text("cubefs")
        access_key, secret_key = cluster.add_key("team", owns=("team-data",))
        pathlib.Path("/usr/local/bin/cfs-client").symlink_to(cluster.client)
        told = {"masters": cluster.masters, "access_key": access_key, "secret_key": secret_key}
        pathlib.Path("/srv/told.new").write_text(json.dumps(told))
        pathlib.Path("/srv/told.new").rename("/srv/told")
        await asyncio.Event().wait()


asyncio.run(main())
"""
"""Started inside the guest, since the stand-in's volumes are directories."""


@pytest.mark.parametrize("unit", [AGENT_UNIT, SHARES_UNIT, SYNC_UNIT])
async def test_the_page_tells_each_units_exposure(fleet: Fleet, unit: str) -> None:
    """The figure is systemd's own, and each line that raises it stands in the page with its reason."""
    guest = await fleet.add_member("alpha", NOBODY)
    path = f"/usr/lib/systemd/system/{unit}"
    guest.write(path, find_data_file(unit).read_text())
    await guest.boot()
    _, text, _ = await guest.attempt("systemd-analyze", "security", "--no-pager", "--offline=true", path)
    overall = re.search(r"Overall exposure level for \S+: ([0-9.]+)", text)
    assert overall is not None, text
    rows = [row for row in table_rows(PAGE) if len(row) == 3]
    assert {code_of(row[0]): row[2] for row in rows}[unit] == overall[1]
    _, found, _ = await guest.attempt(
        *("systemd-analyze", "security", "--no-pager", "--offline=true", "--json=short", path)
    )
    raising = {line["json_field"] for line in json.loads(found) if line["exposure"] not in (None, "", "0.0")}
    short = unit.removesuffix(".service").removeprefix("weft-")
    assert raising == {name for row in rows if short in row[1].split() for name in re.findall(r"`([^`]+)`", row[0])}


async def test_the_running_agent_is_as_exposed_as_its_file(fleet: Fleet) -> None:
    """Nothing of the unit is lost on the way into the running system, and its mounts are still everybody's."""
    guest = await fleet.add_member("alpha", NOBODY)
    await guest.boot()
    _, offline, _ = await guest.attempt(
        "systemd-analyze", "security", "--no-pager", "--offline=true", f"/etc/systemd/system/{AGENT_UNIT}"
    )
    _, running, _ = await guest.attempt("systemd-analyze", "security", "--no-pager", AGENT_UNIT)
    level = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")
    assert level.findall(running) == level.findall(offline) != []
    links = await guest.run("readlink", "/proc/1/ns/mnt", f"/proc/{await agent_pid(guest)}/ns/mnt")
    assert len(set(links.split())) == 1
    assert "NoNewPrivs:\t1" in await guest.run("cat", f"/proc/{await agent_pid(guest)}/status")


async def test_what_the_agents_unit_allows_and_what_not(fleet: Fleet) -> None:
    """A caged client can be made and its mount taken over; nothing else that only an attacker would do works."""
    guest = await fleet.add_member("alpha", NOBODY)
    unit = find_data_file(AGENT_UNIT).read_text()
    unit = re.sub(r"(?m)^(Type|NotifyAccess|Restart|RestartSec|WatchdogSec)=.*\n", "", unit)
    probe = "/usr/bin/python3 /root/probe.py /root/probe.json"
    unit = re.sub(r"(?m)^ExecStart=.*$", f"Type=oneshot\nExecStart={probe}", unit)
    guest.write("/etc/systemd/system/probe.service", unit)
    guest.write("/root/probe.py", PROBE.read_text())
    await guest.boot()
    await guest.run("systemctl", "start", "probe.service")
    found = json.loads(await guest.run("cat", "/root/probe.json"))
    allowed = {name: said for name, said in found.items() if name.startswith("yes ")}
    refused = {name: said for name, said in found.items() if name.startswith("no ")}
    closed_ones = {name: said for name, said in allowed.items() if said != "done"}
    assert closed_ones == {}
    open_ones = {name: said for name, said in refused.items() if said not in ("EPERM", "EACCES", "EAFNOSUPPORT")}
    assert open_ones == {}
    assert len(refused) > 20


async def test_every_kind_of_share_mounts_under_the_units(
    fleet: Fleet, outside: Outside, folder: FolderServer, tmp_path: Path
) -> None:
    """Written and read by somebody who is not root, kept over a restart, and unmounted in the end."""
    guest = await fleet.add("alpha", shown={"/opt/checkout": CHECKOUT, WHEELS: dependencies_path(cache_directory())})
    seen = 'client_paths = ["/opt/weft", "/opt/checkout"]\nclient_writable_paths = ["/srv/cluster"]\n'
    guest.write("/etc/weft/agent.toml", f'vm = "alpha"\nnats = ["{outside.broker.url}"]\n{seen}')
    guest.write("/srv/notes/lesson.txt", "bind")
    guest.write("/root/cluster.py", CLUSTER)
    await guest.boot()
    await pip_install(guest, "mfusepy")
    await guest.run("systemd-run", "--unit=cluster", "/opt/weft/bin/python", "/root/cluster.py")
    cubefs = await _told(guest)
    (tmp_path / "s3").mkdir()
    async with FolderServer.sftp(tmp_path) as sftp, FolderServer.s3(tmp_path) as s3:
        (sftp.root / "lesson.txt").write_text("sftp")
        (s3.root / "bucket").mkdir()
        (s3.root / "bucket" / "lesson.txt").write_text("s3")
        (folder.root / "lesson.txt").write_text("webdav")
        block = s3.share("s3", "/mnt/s3").rclone
        assert block is not None
        shares = [
            folder.share("webdav", "/mnt/webdav"),
            sftp.share("sftp", "/mnt/sftp"),
            ShareMount(
                id="s3",
                backend="rclone",
                mount_point="/mnt/s3",
                rclone=RcloneBlock(type="s3", path="bucket", config=block.config),
            ),
            bind("notes"),
            ShareMount(
                id="cubefs",
                backend="cubefs",
                mount_point="/mnt/cubefs",
                cubefs=CubefsBlock(
                    volume="team-data",
                    masters=tuple(cubefs["masters"]),
                    owner="team",
                    access_key=cubefs["access_key"],
                    secret_key=cubefs["secret_key"],
                ),
            ),
        ]
        fan_out = await outside.plane.publish(shares, vms=["alpha"])
        assert fan_out.is_complete, fan_out
        for share in shares:
            await outside.converged(share.id)
        for share in shares:
            name = "read.me" if share.id == "cubefs" else "lesson.txt"
            said = {"notes": "bind"}.get(share.id, share.id)
            assert await guest.run("cat", f"{share.mount_point}/{name}", user="pupil") == said
        for share in shares:
            if share.id not in (
                "notes",
                "cubefs",
            ):  # root's folder; and the stand-in's volume lies in the guest, root's too
                await guest.run("sh", "-c", f"echo done >{share.mount_point}/answer.txt", user="pupil")
        before = {entry.mount_point: entry.mount_id for entry in await shares_in(guest)}
        assert set(before) == {share.mount_point for share in shares}
        await guest.run("systemctl", "restart", AGENT_UNIT)
        await guest.run("weft-agent", "wait", "s3")
        assert {entry.mount_point: entry.mount_id for entry in await shares_in(guest)} == before
        await guest.run("systemctl", "stop", SHARES_UNIT, deadline_s=60)
        assert await shares_in(guest) == ()
        assert (sftp.root / "answer.txt").read_text() == "done\n"
        assert (s3.root / "bucket" / "answer.txt").read_text() == "done\n"


async def _told(guest: Guest) -> dict[str, list[str]]:
    """Wait until the cluster in the guest says how it is reached."""
    path = "while ! test -e /srv/told; do sleep 0.05; done; cat /srv/told"
    told: dict[str, list[str]] = json.loads(await guest.run("sh", "-c", path))
    return told


async def test_the_operators_service_watches_under_its_unit(fleet: Fleet, outside: Outside) -> None:
    """It reaches the broker, says that it is ready, and keeps watching."""
    guest = await fleet.add("sync", shown={WHEELS: dependencies_path(cache_directory())})
    guest.write("/etc/weft/agent.toml", f'vm = "sync"\nnats = ["{outside.broker.url}"]\n')
    guest.write(f"/etc/systemd/system/{SYNC_UNIT}", find_data_file(SYNC_UNIT).read_text())
    guest.write("/etc/weft/sync.env", f"NATS_URL={outside.broker.url}\n")
    await guest.boot()
    await pip_install(guest, "click", "rich", "uvloop")
    await guest.run("systemctl", "start", SYNC_UNIT)
    assert (await guest.run("systemctl", "show", "--value", "--property=StatusText", SYNC_UNIT)).strip()
    assert "watching" in guest.journal(f"--unit={SYNC_UNIT}")
    assert (await guest.run("systemctl", "is-active", SYNC_UNIT)).strip() == "active"
