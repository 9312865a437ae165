"""What a guest may write into its own report: everybody else is shown as before, in time, and nothing breaks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import nats
import pytest

from controlplane import ControlPlane
from controlplane.cli.status_view import (
    counts_table,
    headline,
    reasons_table,
    states_of,
    status_record,
    vm_card,
    vm_cells,
)
from controlplane.comparison import compare
from controlplane.heard import build_heard, is_stale
from controlplane.jetstream import ask
from controlplane.report_bounds import LARGEST_BYTES, LONG
from controlplane.stored import StoredMessage
from controlplane.survey import parse_report
from controlplane.views import VmView, build_view
from tests.attack.conftest import CountProbes
from tests.integration.plane.guests import Guests
from tests.parts.broker import Broker
from tests.parts.reporting import tell
from tests.unit.controlplane.makers import share
from weft.wire.ids import VmId
from weft.wire.status import MAX_STATUS_BYTES, VmStatus

TABLE_BYTES = 200_000
"""What is printed about one VM at most: a screen of it is read."""
RECORD_BYTES = 3 * MAX_STATUS_BYTES
WIDEST = 3 * LONG


def report(**fields: Any) -> bytes:
    return json.dumps({"vm": "evil", "heartbeat_s": 30, "boot_id": "b", **fields}).encode()


def invented(number: int, **fields: Any) -> bytes:
    return report(shares=[{"id": f"s{one}", "state": "mounted", **fields} for one in range(number)])


def nested(levels: int, kind: str = "[]") -> bytes:
    opened = "[" if kind == "[]" else '{"a":'
    closed = "]" if kind == "[]" else "}"
    return b'{"vm":"evil","x":' + (opened * levels + "1" + closed * levels).encode() + b',"shares":[]}'


FAILED = {"state": "failed", "error": {"code": "auth", "message": "no"}}
ROWS: dict[str, Callable[[], bytes]] = {
    "70,000 invented shares": lambda: invented(70_000),
    "as many invented shares as fit": lambda: invented(25_000),
    "many invented shares that fail": lambda: report(shares=[{"id": f"s{one}", **FAILED} for one in range(12_000)]),
    "many failures for different reasons": lambda: report(
        shares=[
            {"id": f"s{one}", "state": "failed", "error": {"code": "auth", "message": f"m{one}"}}
            for one in range(9_000)
        ]
    ),
    "one share many times": lambda: report(shares=[{"id": "docs", "state": "mounted"}] * 30_000),
    "one share many times, failing": lambda: report(shares=[{"id": "docs", **FAILED}] * 12_000),
    "shares without an id": lambda: report(shares=[{"id": "", "state": "rejected"}] * 30_000),
    "a share with an endless id": lambda: report(shares=[{"id": "x" * 900_000, "state": "mounted"}]),
    "an endless message": lambda: report(
        shares=[{"id": "docs", "state": "failed", "error": {"code": "auth", "message": "x" * 900_000}}]
    ),
    "an endless detail": lambda: report(
        shares=[{"id": "docs", "state": "failed", "error": {"code": "auth", "message": "m", "detail": "x" * 900_000}}]
    ),
    "an endless problem": lambda: report(problem={"code": "bad_spec", "message": "x" * 900_000}),
    "an endless mount point": lambda: invented(1, mount_point="/" + "x" * 900_000),
    "an endless backend": lambda: invented(1, backend="x" * 900_000),
    "an endless digest": lambda: invented(1, digest="x" * 900_000),
    "an endless host name": lambda: report(hostname="x" * 900_000),
    "an endless boot id": lambda: report(boot_id="x" * 900_000),
    "an endless version": lambda: report(agent={"version": "x" * 900_000}),
    "endless backends": lambda: report(agent={"version": "1", "backends": {f"b{one}": "1" for one in range(50_000)}}),
    "an endless backend's version": lambda: report(agent={"version": "1", "backends": {"nfs": "x" * 900_000}}),
    "a field that nobody knows, endless": lambda: report(more="x" * 900_000),
    "many fields that nobody knows": lambda: report(**{f"f{one}": one for one in range(40_000)}),
    "larger than any agent's": lambda: report(hostname="x" * (8 << 20)),
    "deep arrays": lambda: nested(100_000),
    "deep objects": lambda: nested(100_000, "{}"),
    "arrays as deep as can be read": lambda: nested(900),
    "objects as deep as can be read": lambda: nested(900, "{}"),
    "objects a little deep": lambda: nested(200, "{}"),
    "deep shares": lambda: b'{"vm":"evil","shares":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "nothing": lambda: b"",
    "no JSON": lambda: b"\xff\xfe\x00",
    "null": lambda: b"null",
    "an array": lambda: b"[]",
    "shares that are null": lambda: report(shares=None),
    "shares that are a text": lambda: report(shares="docs"),
    "shares that are numbers": lambda: report(shares=[1, 2, 3]),
    "an id that is a number": lambda: report(shares=[{"id": 7, "state": "mounted"}]),
    "a state that nobody knows": lambda: report(shares=[{"id": "docs", "state": "sublime"}]),
    "a revision beyond every number": lambda: report(held_revision=10**400),
    "a negative revision": lambda: report(held_revision=-(10**18), revision=-1),
    "a number beyond every number": lambda: b'{"vm":"evil","heartbeat_s":1e999,"shares":[]}',
    "half a character": lambda: b'{"vm":"evil","hostname":"\\ud800","shares":[]}',
    "a year that nobody lives to see": lambda: invented(1, since="9999-12-31T23:59:59Z"),
    "a time before time": lambda: invented(1, since="0001-01-01T00:00:00+14:00"),
    "another VM's name": lambda: report(vm="good"),
}


def view_of(data: bytes) -> VmView:
    return build_view(VmId("evil"), build_heard([StoredMessage("weft.status.evil", 1, data, 0.0)]), None, (), now_s=5.0)


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_report_is_shown_within_bounds(name: str, count_probes: CountProbes) -> None:
    """Every view of it is made, is small, and says the VM's own name; the next VM stands beside it as ever."""
    data = ROWS[name]()
    good = VmView(VmId("good"), VmStatus(vm="good"), reported_age_s=1.0)
    started_s = time.process_time()
    evil = view_of(data)
    views = [evil, good]
    text = "\n".join([counts_table(views), reasons_table(views), *vm_cells(evil), str(vm_card(evil))])
    seen = list(compare(evil))
    record = json.dumps(status_record(evil), indent=2, default=str)
    parse_report(data)
    took_s = time.process_time() - started_s
    assert headline(states_of(views)).startswith("2 VMs: 1 ok" if states_of(views)["evil"] != "ok" else "2 VMs: 2 ok")
    assert len(text) < TABLE_BYTES
    assert max(map(len, text.splitlines())) < WIDEST
    assert len(seen) <= 102
    assert len(record) < RECORD_BYTES
    assert json.loads(record)["vm"] == "evil"
    assert took_s < 2.0
    count_probes("reports shown")


def test_what_is_left_out_is_said() -> None:
    """An operator is told that there was more, and how much."""
    assert view_of(invented(20_000)).problem == "reports 19900 more shares that nobody published"
    too_large = view_of(ROWS["larger than any agent's"]())
    assert too_large.problem == f"sent a report of {len(too_large.report)} bytes: {LARGEST_BYTES} are read at most"


def test_a_guest_cannot_say_that_its_silence_is_nothing() -> None:
    """Whatever heartbeat it claims, it is stale after three hours."""
    status = view_of(report(heartbeat_s=1e18)).status
    assert status is not None
    assert is_stale(status, 3 * 3600.0 + 1)


@pytest.mark.integration
async def test_the_fleet_is_seen_and_published_to_beside_a_hostile_report(
    broker: Broker, count_probes: CountProbes
) -> None:
    """One guest that claims everything delays nobody's status, and no publish asks about what it invented."""
    await broker.restart(config="max_payload: 8MB")
    async with ControlPlane.connect(broker.url) as plane, Guests(broker.url, silent=["evil"]):
        await plane.init()
        await plane.wait(await plane.publish(share("docs"), vms=["good"]), timeout_s=20)
        nc = await nats.connect(broker.url)
        for name in (
            "as many invented shares as fit",
            "many fields that nobody knows",
            "objects as deep as can be read",
        ):
            await tell(nc, "weft.status.evil", ROWS[name]())
            async with asyncio.timeout(5):
                views = {view.vm: view for view in await plane.status()}
            good = views["good"]
            assert good.status is not None
            assert [one.id for one in good.status.shares] == ["docs"]
            # Half of the VMs would lose something, if what a guest invents were a loss.
            fan_out = await plane.publish(share("tools"), vms=["evil", "good"])
            assert fan_out.failed == {}
            await plane.unpublish("tools")
            count_probes("reports shown")
        await nc.close()


@pytest.mark.integration
async def test_a_report_larger_than_any_agents_is_not_stored(broker: Broker) -> None:
    """What is stored of one VM has a limit, so that what is stored of all has one."""
    await broker.restart(config="max_payload: 8MB")
    async with ControlPlane.connect(broker.url) as plane:
        await plane.init()
        nc = await nats.connect(broker.url)
        await nc.publish("weft.status.evil", b"x" * (MAX_STATUS_BYTES + 4096))
        await tell(nc, "weft.status.evil", b"{}")
        (view,) = await plane.status(["evil"])
        await nc.close()
        kept = await ask(plane.link, "STREAM.INFO.weft-status")
    assert view.report == b"{}"
    assert kept["state"]["messages"] == 1
