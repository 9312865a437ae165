"""What stands before a guest's message: whoever reads many of them gets each, and nothing that a guest says of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.auth.roles import Role
from controlplane.jetstream import stream_facts
from controlplane.streams import ensure
from tests.attack.conftest import CountProbes
from tests.parts.realm import Realm
from weft.errors import BrokerError
from weft.link import Link
from weft.wire.events import Event
from weft.wire.subjects import GUEST_EVENTS_STREAM, STATUS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
ROWS = {
    "nothing": b"NATS/1.0\r\n\r\n",
    "an end": b"NATS/1.0 204 EOB\r\n\r\n",
    "an end with all that belongs to it": (
        b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 1\r\nNats-UpTo-Sequence: 1\r\n\r\n"
    ),
    "nothing found": b"NATS/1.0 404 No Results\r\n\r\n",
    "a bad question": b"NATS/1.0 408 Bad Request\r\n\r\n",
    "too many": b"NATS/1.0 413 Too Many Results\r\n\r\n",
    "nobody there": b"NATS/1.0 503\r\n\r\n",
    "a status of its own": b"NATS/1.0 999 x\r\n\r\n",
    "a status that is no number": b"NATS/1.0 abc\r\n\r\n",
    "a heartbeat": b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    "an end as a header": b"NATS/1.0\r\nStatus: 204\r\nNats-Num-Pending: 0\r\n\r\n",
    "a failure as a header": b"NATS/1.0\r\nStatus: 500\r\nDescription: broken\r\n\r\n",
    "nobody there as a header": b"NATS/1.0\r\nStatus: 503\r\n\r\n",
    "another's subject": b"NATS/1.0\r\nNats-Subject: weft.status.good\r\nNats-Stream: weft-status\r\n\r\n",
    "another's subject, with spaces": b"NATS/1.0\r\nNats-Subject : weft.status.good\r\n\r\n",
    "another sequence": b"NATS/1.0\r\nNats-Sequence: 99999999\r\nNats-Last-Sequence: 7\r\n\r\n",
    "a sequence that is no number": b"NATS/1.0\r\nNats-Last-Sequence: x\r\nNats-Sequence: y\r\n\r\n",
    "how many are left": b"NATS/1.0\r\nNats-Num-Pending: 0\r\n\r\n",
    "a number that is none": b"NATS/1.0\r\nNats-Num-Pending: many\r\n\r\n",
    "a time that is none": b"NATS/1.0\r\nNats-Time-Stamp: yesterday\r\n\r\n",
    "a line without end": b"NATS/1.0\r\nX: abc",
    "a head without end": b"NATS/1.0\r\nX",
    "only the head": b"NATS/1.0",
    "two bytes": b"\r\n",
    "no line ends": b"NATS/1.0 X: y Nats-Subject: z",
    "lines with one letter": b"NATS/1.0\nX: y\n\n",
    "no colon": b"NATS/1.0\r\nno colon at all\r\n\r\n",
    "a folded line": b"NATS/1.0\r\nX: a\r\n b\r\n\r\n",
    "an early end": b"NATS/1.0\r\nX: a\r\n\r\nY: b\r\n\r\n",
    "another version": b"NATS/9.9\r\nX: a\r\n\r\n",
    "no head": b"X: a\r\n\r\n",
    "no text": bytes(range(128, 160)) + b"\r\n\r\n",
    "zeros": b"NATS/1.0\r\n\0: \0\r\n\r\n",
    "much": b"NATS/1.0\r\n" + b"X: y\r\n" * 500 + b"\r\n",
}


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """Accounts as they are shipped."""
    made = Realm(tmp_path)
    async with made.broker:
        async with made.connected(Role.ADMIN, "root") as link:
            await ensure(link)
        yield made


async def send(guest: Link, subject: str, head: bytes, data: bytes) -> None:
    """Send as a client of one's own would: the library writes only heads that are well formed."""
    command = f"HPUB {subject} {len(head)} {len(head) + len(data)}\r\n".encode()
    await guest.nc._send_command(command + head + data + b"\r\n")
    await guest.flush()


async def test_no_head_of_a_guests_message_hides_or_forges_anything(realm: Realm, count_probes: CountProbes) -> None:
    """Reports and events before it and after it are read, followed and watched as ever."""
    trouble: dict[str, object] = {}
    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.OPERATOR, "ann") as link,
        ControlPlane(link) as plane,
        realm.connected(Role.GUEST, "first") as first,
        realm.connected(Role.GUEST, "evil") as evil,
        realm.connected(Role.GUEST, "last") as last,
        plane.watch_status() as watch,
    ):
        sent = 0
        for name, head in ROWS.items():
            for vm, guest in (("first", first), ("evil", evil), ("last", last)):
                data = json.dumps({"vm": vm, "hostname": f"{vm} {name}"}).encode()
                own = head if vm == "evil" else b"NATS/1.0\r\n\r\n"
                await send(guest, f"weft.events.vm.{vm}.share.mounted", own, data)
                await send(guest, f"weft.status.{vm}", own, data)
                sent += 1
                # One guest's after another's, as the streams have them.
                for stream in (STATUS_STREAM, GUEST_EVENTS_STREAM):
                    while (await stream_facts(link, stream)).last_seq < sent:
                        await link.flush()
            try:
                views = {view.vm: view.status.hostname for view in await plane.status() if view.status is not None}
                events = [entry.event.vm async for entry in plane.events() if isinstance(entry.event, Event)]
            except BrokerError as exc:
                trouble[name] = str(exc)
                continue
            if views != {vm: f"{vm} {name}" for vm in ("first", "evil", "last")}:
                trouble[name] = views
            if events != ["first", "evil", "last"] * (sent // 3):
                trouble[name] = events[-3:]
            while (
                not (heard := {v.vm: v.status.hostname for v in watch.views() if v.status})
                .get("last", "")
                .endswith(name)
            ):
                await watch.wait(1.0)
            if heard["first"] != f"first {name}":
                trouble[name] = heard
            count_probes("heads of guests' messages")
        findings = [finding.check for finding in await plane.check_up()]
    assert trouble == {}
    assert "clock" in findings
