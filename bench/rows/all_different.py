"""A catalog of 10,000 shares and a list of its own for each of 10,000 VMs, all of which change at once."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field

import msgspec

from bench.fleet import running_plane, vm_names
from bench.frame import Effort, Figure, Loop, Row, ratio
from bench.raw import ReadyBatch, connect
from bench.raw_reading import read_raw
from controlplane.batch import is_stored
from controlplane.broker import EmbeddedBroker
from controlplane.catalog import EVERYTHING, Catalog
from controlplane.decide import Intent, Publish, decide_all
from controlplane.ingest import Outgoing, max_data_bytes, store
from controlplane.plane import ControlPlane
from controlplane.projection import project
from controlplane.reader import read_complete
from controlplane.records import CatalogSnapshot, Edit, ShareRecord, Targets, encode_record
from controlplane.survey import read_whole_survey
from weft.link import Link
from weft.wire.blocks import RcloneBlock
from weft.wire.ids import RemoteName, VmId
from weft.wire.share import ShareMount
from weft.wire.subjects import CATALOG_STREAM, MOUNTS_ALL, MOUNTS_STREAM, subject

REMOTE = RemoteName("minio")
SENT = "the broker's own time to send what is read"
TAKEN = "the broker's own time to store what is published"
VMS_OF_A_SHARE = 3
"""So each VM has three shares, and no other VM has the same three."""


async def measure(effort: Effort) -> list[Figure]:
    """Rotate the one key that every share uses: as the command does it, then step by step."""
    size = effort.pick(full=10_000, quick=200)
    spent = _Spent()
    async with running_plane() as (broker, plane):
        await _fill(plane, size)
        for turn in range(effort.pick(full=5, quick=2)):
            await _command(plane, size, turn, spent)
            await _by_steps(plane.link, size, turn, spent)
            await _by_broker(broker, plane.link, spent)
    return spent.figures(size)


@dataclass(slots=True)
class _Spent:
    """Milliseconds, round by round, of each thing that was timed."""

    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, started_s: float) -> None:
        """Note what began at *started_s*, and ends now."""
        self.samples.setdefault(name, []).append((time.perf_counter() - started_s) * 1000)

    def figures(self, size: int) -> list[Figure]:
        """Build the row."""
        of = f"{size:,} shares, {size:,} VMs"
        read = self._figure("read", "catalog, last lists and reports, decoded")
        sent = self._figure(SENT, "by a connection that decodes nothing")
        publish = self._figure("publish", "acknowledged and conditional")
        taken = self._figure(TAKEN, "ready-made bytes, by a connection without a client library")
        return [
            self._figure("whole command", f"{of}, three shares each; one key rotated that all shares use"),
            read,
            self._figure("project", "who gets what, each share completed by its remote and encoded once"),
            self._figure("encode", "decided for each VM, and its message composed"),
            publish,
            sent,
            taken,
            ratio("read over the broker's own", read, sent),
            ratio("publish over the broker's own", publish, taken),
        ]

    def _figure(self, name: str, note: str = "") -> Figure:
        return Figure(name, "ms", tuple(self.samples[name]), note=note)


async def _fill(plane: ControlPlane, size: int) -> None:
    """Write the catalog at once, which no command does, and let everybody have a first list."""
    await plane.set_remote(REMOTE, "rclone", {"type": "s3", "config": _config(-1)})
    vms = vm_names(size)
    records = [
        _record(number, [vms[(number + step) % size] for step in range(VMS_OF_A_SHARE)]) for number in range(size)
    ]
    edits = [Edit(f"share.{record.share.id}", encode_record(record), 0) for record in records]
    await Catalog(plane.link).write(edits)
    fan_out = await plane.sync()
    assert len(fan_out.stored) == size, "the fleet could not be set up"


def _record(number: int, vms: list[str]) -> ShareRecord:
    name = f"data-{number:05d}"
    share = ShareMount(
        id=name,
        backend="rclone",
        mount_point=f"/run/weft/shares/{name}",
        rclone=RcloneBlock(type="s3", path=f"team/{name}"),
    )
    return ShareRecord(share=share, remote=REMOTE, targets=Targets(vms=tuple(vms)))


def _config(turn: int) -> dict[str, str]:
    return {
        "provider": "Minio",
        "endpoint": "http://10.0.0.5:9000",
        "access_key_id": "TEAM",
        "secret_access_key": f"k{turn}",
    }


async def _command(plane: ControlPlane, size: int, turn: int, spent: _Spent) -> None:
    """Rotate the key as an operator does, with a control plane that has read nothing before."""
    fresh = ControlPlane(plane.link)
    started_s = time.perf_counter()
    fan_out = await fresh.update_remote(REMOTE, {"config.secret_access_key": f"command-{turn}"})
    spent.add("whole command", started_s)
    assert len(fan_out.stored) == size, f"only {len(fan_out.stored)} of {size} were stored"


async def _by_steps(link: Link, size: int, turn: int, spent: _Spent) -> None:
    """Do what the command does, one step after the other; the key is rotated in memory only."""
    started_s = time.perf_counter()
    survey = await read_whole_survey(link)
    stored = await Catalog(link).load()
    spent.add("read", started_s)
    snapshot = _rotated(stored, turn)
    started_s = time.perf_counter()
    projection = project(snapshot, {}, [VmId(vm) for vm in vm_names(size)])
    spent.add("project", started_s)
    started_s = time.perf_counter()
    now_ms = time.time_ns() // 1_000_000
    decisions = decide_all(
        projection, survey, Intent(), catalog=snapshot, now_ms=now_ms, max_bytes=max_data_bytes(link)
    )
    messages = [
        Outgoing(subject(item.vm), item.data, item.expected_seq) for item in decisions if isinstance(item, Publish)
    ]
    spent.add("encode", started_s)
    assert len(messages) == size, "somebody's list did not change"
    started_s = time.perf_counter()
    verdicts = await store(link, messages)
    spent.add("publish", started_s)
    assert all(is_stored(verdict) for verdict in verdicts), "not every list was stored"


def _rotated(snapshot: CatalogSnapshot, turn: int) -> CatalogSnapshot:
    remote = snapshot.remotes[REMOTE]
    changed = msgspec.structs.replace(remote, block={**remote.block, "config": _config(turn)})
    return dataclasses.replace(snapshot, remotes={REMOTE: changed})


async def _by_broker(broker: EmbeddedBroker, link: Link, spent: _Spent) -> None:
    """Let the broker send what is read, and store what is published, without anything of ours in between."""
    started_s = time.perf_counter()
    for stream, subjects in ((MOUNTS_STREAM, MOUNTS_ALL), (CATALOG_STREAM, EVERYTHING)):
        await read_raw(link, broker.url, stream, subjects)
    spent.add(SENT, started_s)
    last = (await read_complete(link, MOUNTS_STREAM, MOUNTS_ALL)).last
    ready = ReadyBatch([Outgoing(message.subject, message.data, message.seq) for message in last.values()])
    connection = await connect(broker.url, ready.inbox)
    try:
        started_s = time.perf_counter()
        await ready.publish(connection)
        spent.add(TAKEN, started_s)
    finally:
        connection.close()


ROW = Row("different", "10,000 shares, and every VM's list different", measure, Loop.UVLOOP)
