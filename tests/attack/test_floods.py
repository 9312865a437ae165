"""One guest that sends whatever it can: desired state is published all the same, and what operators did stays."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from controlplane import ControlPlane
from controlplane.auth.roles import Role
from controlplane.batch import STORAGE_FULL, STREAM_FULL
from controlplane.jetstream import ask, stream_facts
from controlplane.streams import MIB, STREAMS, ensure
from tests.attack.conftest import CountProbes
from tests.parts.broker import Broker
from tests.parts.realm import Realm
from tests.unit.controlplane.makers import share
from weft.errors import BrokerDeniedError, BrokerUnreachableError, PayloadTooLargeError, StreamFullError
from weft.finding import Verdict
from weft.link import Link, LinkOptions
from weft.wire.events import GUEST_KINDS, MAX_EVENT_BYTES
from weft.wire.status import MAX_STATUS_BYTES

pytestmark = pytest.mark.integration

STORE = 300 * MIB
PATIENCE_S = 30.0


class SmallBroker(Broker):
    """A broker with little room, so that a flood reaches its end within seconds."""

    def _write_config(self) -> Path:
        path = super()._write_config()
        text = path.read_text().replace("jetstream {", f"jetstream {{ max_file_store: {STORE}, ")
        path.write_text("max_payload: 8MB\n" + text)
        return path


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """Accounts as they are shipped, on a broker with little room."""
    made = Realm(tmp_path)
    made.broker = SmallBroker(tmp_path / "broker", config=made.config())
    async with made.broker:
        async with made.connected(Role.ADMIN, "root") as link:
            await ensure(link)
        yield made


def messages(subject: str, size: int, number: int) -> list[tuple[str, bytes]]:
    return [(subject, os.urandom(size // 2).hex().encode()[:size]) for _ in range(number)]


FLOODS = {
    "events as large as a message may be": lambda: messages("weft.events.vm.evil.share.failed", 8 * MIB - 1024, 45),
    "events as large as are stored": lambda: [
        one for kind in GUEST_KINDS for one in messages(f"weft.events.vm.evil.{kind}", MAX_EVENT_BYTES - 512, 400)
    ],
    "events of kinds that nobody knows": lambda: [
        (f"weft.events.vm.evil.x{number}.y", b"x" * 4096) for number in range(20_000)
    ],
    "reports as large as a message may be": lambda: messages("weft.status.evil", 8 * MIB - 1024, 45),
    "reports as large as are stored": lambda: messages("weft.status.evil", MAX_STATUS_BYTES - 1024, 400),
    "small reports without end": lambda: [("weft.status.evil", b"{}")] * 50_000,
}


async def flood(guest: Link, sent: list[tuple[str, bytes]]) -> None:
    try:
        for number, (subject, data) in enumerate(sent):
            await guest.publish(subject, data)
            if number % 500 == 499 or len(data) > MIB // 2:
                await guest.flush()
        await guest.flush()
    except (PayloadTooLargeError, BrokerUnreachableError):
        return  # its credentials take less, and the broker throws out who sends more: so much the better


@pytest.mark.parametrize("name", FLOODS)
async def test_publishing_goes_on_under_a_guests_flood(name: str, realm: Realm, count_probes: CountProbes) -> None:
    """During it and after it every publish is stored; the audit, and what another guest said, are still there."""
    sent = FLOODS[name]()
    async with realm.connected(Role.OPERATOR, "ann") as link, ControlPlane(link, operator="ann") as plane:
        await plane.create_class("algebra")
        async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "good") as good:
            await good.publish("weft.events.vm.good.share.mounted", b'{"vm":"good","share":"docs"}')
            await good.publish("weft.status.good", b'{"vm":"good"}')
            await good.flush()
        async with asyncio.timeout(120), realm.connected(Role.GUEST, "evil") as evil:
            flooding = asyncio.create_task(flood(evil, sent))
            during = 0
            while not flooding.done():
                fan_out = await plane.publish(share(f"s{during % 40}"), vms=[f"vm-{during}"])
                assert (fan_out.failed, fan_out.unknown) == ({}, {})
                during += 1
            await flooding
        after = await plane.publish(share("after"), vms=["vm-1", "vm-2"])
        kinds = [(entry.kind, getattr(entry.event, "vm", "")) async for entry in plane.events()]
        reported = {view.vm for view in await plane.vms()}
        infos = [await ask(link, f"STREAM.INFO.{spec.stream}") for spec in STREAMS]
    assert set(after.stored) == {"vm-1", "vm-2"}
    assert during > 0
    assert kinds[0] == ("class.create", "")
    assert ("share.mounted", "good") in kinds
    assert "good" in reported
    assert all(info["state"]["bytes"] <= info["config"]["max_bytes"] for info in infos)
    assert sum(info["config"]["max_bytes"] for info in infos) <= STORE
    count_probes("messages of a guest's flood", len(sent))


async def test_doctor_names_the_guest_that_floods(realm: Realm, count_probes: CountProbes) -> None:
    """By its events and by the size of its reports, with what to type; nothing of it is a reason to fail."""
    async with realm.connected(Role.OPERATOR, "ann") as link, ControlPlane(link, operator="ann") as plane:
        async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "evil") as evil:
            sent = FLOODS["events as large as are stored"]()
            await flood(evil, sent)
            while (await stream_facts(link, "weft-guest-events")).last_seq < len(sent):
                await link.flush()  # what is still on its way would be there after the purge
            big = json.dumps({"vm": "evil", "hostname": "x" * (MAX_STATUS_BYTES - 2048)}).encode()
            await evil.publish("weft.status.evil", big)
            await evil.flush()
        findings = await plane.check_up()
        async with realm.connected(Role.ADMIN, "root") as root, ControlPlane(root, operator="root") as ruling:
            removed = await ruling.purge_events(["evil"])
        left = [finding for finding in await plane.check_up() if "events" in finding.message]
        acts = [entry.kind async for entry in plane.events()]
    floods = [finding for finding in findings if finding.check == "floods"]
    assert [("events" in finding.message, "evil" in finding.message) for finding in floods] == [
        (True, True),
        (False, True),
    ]
    assert "weft events purge --vm evil" in floods[0].advice
    assert not [finding for finding in findings if finding.verdict is Verdict.BAD]
    assert (removed > 0, left, acts) == (True, [], ["events.purge"])
    count_probes("floods named by doctor", len(floods))


async def test_reading_ends_though_a_guest_writes_as_fast(tmp_path: Path) -> None:
    """What is there when it begins is read, and little more: for each message that is read another one comes."""
    data = b'{"vm":"evil","message":"' + b"x" * 7000 + b'"}'
    kinds = itertools.cycle(GUEST_KINDS)
    realm = Realm(tmp_path)
    async with asyncio.timeout(PATIENCE_S), realm.broker, realm.connected(Role.ADMIN, "root") as root:
        await ensure(root)
        read = await read_while_written(realm, kinds, data)
    assert 1000 <= read < 2000


async def read_while_written(realm: Realm, kinds: Iterator[str], data: bytes) -> int:
    """Read a thousand events, and store another one for each; give up after many more."""
    async with (
        realm.connected(Role.OPERATOR, "ann") as link,
        ControlPlane(link, operator="ann") as plane,
        realm.connected(Role.GUEST, "evil") as evil,
    ):
        for _ in range(1000):
            await evil.publish(f"weft.events.vm.evil.{next(kinds)}", data)
        while (await stream_facts(link, "weft-guest-events")).last_seq < 1000:
            await link.flush()
        read = 0
        async for _ in plane.events():
            read += 1
            await evil.publish(f"weft.events.vm.evil.{next(kinds)}", data)
            await evil.flush()
            if read == 2500:
                break
    return read


async def fill(nc: Client, prefix: str) -> int:
    """Publish to a new subject each, first large and then small, until nothing fits; return why the last did not."""
    js, numbers, why = nc.jetstream(), itertools.count(), 0
    for size in (MIB - 1024, 64 * 1024, 4096, 64, 1):
        try:
            while True:
                await js.publish(f"{prefix}{next(numbers)}", bytes(size))
        except nats.js.errors.APIError as exc:
            why = exc.err_code or 0
    return why


async def test_a_full_stream_of_desired_states_says_so_in_one_sentence(tmp_path: Path) -> None:
    """What could not be stored is named with the storage and the command that says what fills it."""
    async with SmallBroker(tmp_path / "broker") as broker, ControlPlane.connect(broker.url) as plane:
        await plane.init()
        nc = await nats.connect(broker.url)
        assert await fill(nc, "weft.mounts.full-") == STREAM_FULL
        fan_out = await plane.publish(share("docs"), vms=["vm-1"])
        findings = await plane.check_up()
        await nc.close()
    assert fan_out.failed == {
        "vm-1": "the stream refused it: stream 'weft-mounts' is full, all the storage it may take (weft doctor)"
    }
    full = [finding for finding in findings if finding.check == "storage"]
    assert [(finding.verdict, "weft-mounts holds" in finding.message) for finding in full] == [(Verdict.BAD, True)]
    assert "weft init --storage" in full[0].advice


async def test_a_store_that_was_filled_before_there_were_limits_is_freed(tmp_path: Path) -> None:
    """Every publish fails there; doctor, init and purge lead out of it, and nothing but what was named is lost."""
    async with SmallBroker(tmp_path / "broker") as broker, ControlPlane.connect(broker.url) as plane:
        nc = await nats.connect(broker.url)
        js = nc.jetstream()
        await plane.init()
        for stream in ("weft-events", "weft-guest-events"):
            await js.delete_stream(stream)
        await js.add_stream(name="weft-events", subjects=["weft.events.vm.*.>", "weft.events.op.>"], max_age=86400)
        await js.publish("weft.events.op.class.create", b'{"who":"ann","action":"class.create","name":"algebra"}')
        assert await fill(nc, "weft.events.vm.evil.e.n") == STORAGE_FULL
        with pytest.raises(StreamFullError, match="broker's storage is full"):
            await plane.publish(share("docs"), vms=["vm-1"])
        before = {finding.check: finding for finding in await plane.check_up()}
        with pytest.raises(StreamFullError, match="weft events purge"):
            await plane.init()
        counted = await plane.count_events(["evil"])
        removed = await plane.purge_events(["evil"])
        await plane.init()
        fan_out = await plane.publish(share("docs"), vms=["vm-1"])
        kinds = [entry.kind async for entry in plane.events()]
        await nc.close()
    assert before["weft-events"].verdict is Verdict.BAD
    assert before["weft-events"].advice == "weft init"
    assert counted == removed > 100
    assert set(fan_out.stored) == {"vm-1"}
    assert kinds == ["class.create", "events.purge", "publish"]


async def test_events_are_removed_by_vm_and_age(broker: Broker) -> None:
    """What is younger, and what others sent, stays; a count comes first and removes nothing."""
    async with ControlPlane.connect(broker.url) as plane:
        await plane.init()
        nc = await nats.connect(broker.url)
        for vm in ("vm-1", "vm-2"):
            await nc.publish(f"weft.events.vm.{vm}.share.failed", f'{{"vm":"{vm}"}}'.encode())
        await nc.flush()
        async with asyncio.timeout(PATIENCE_S):
            while await plane.count_events() < 2:
                await nc.flush()
        assert await plane.purge_events(older_than_s=3600) == 0
        assert await plane.count_events(older_than_s=0) == 2
        assert await plane.purge_events(["vm-1"], older_than_s=0) == 1
        assert await plane.purge_events() == 1
        assert await plane.count_events() == 0
        await nc.close()


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.OBSERVER])
async def test_only_an_admin_removes_what_guests_sent(realm: Realm, role: Role) -> None:
    """Others count it, and are told whose credentials it takes; an admin removes by age what they cannot."""
    async with realm.connected(role, "ann") as link, ControlPlane(link) as plane:
        async with realm.connected(Role.GUEST, "vm-1") as guest:
            await guest.publish("weft.events.vm.vm-1.share.failed", b'{"vm":"vm-1"}')
            await guest.flush()
        async with asyncio.timeout(PATIENCE_S):
            while not await plane.count_events():
                await link.flush()
        assert await plane.count_events(older_than_s=3600) == 0
        with pytest.raises(BrokerDeniedError, match="use an admin's: weft auth admin NAME"):
            await plane.purge_events()
        assert await plane.count_events() == 1
        async with realm.connected(Role.ADMIN, "root") as root, ControlPlane(root) as ruling:
            assert await ruling.purge_events(older_than_s=3600) == 0
            assert await ruling.purge_events(older_than_s=0) == 1


async def test_a_purge_that_the_broker_denies_is_said(broker: Broker) -> None:
    """Only some may remove what has happened."""
    deny = 'permissions: { publish: { allow: [">"], deny: ["$JS.API.STREAM.PURGE.>"] } }'
    await broker.restart(config=f"authorization {{ users = [ {{ user: op, password: op, {deny} }} ] }}")
    options = LinkOptions(servers=(f"nats://{broker.host}:{broker.port}",), user="op", password="op")
    async with ControlPlane.connect(options=options) as plane:
        await plane.init()
        nc = await nats.connect(broker.url, user="op", password="op")
        await nc.publish("weft.events.vm.vm-1.share.failed", b'{"vm":"vm-1"}')
        await nc.flush()
        async with asyncio.timeout(PATIENCE_S):
            while not await plane.count_events():
                await nc.flush()
        with pytest.raises(Exception, match="cannot remove events: these credentials may remove nothing"):
            await plane.purge_events()
        await nc.close()
