"""Headers with which a guest asks the broker for something, on the subjects that it may publish to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from controlplane.auth.roles import Role
from controlplane.jetstream import ask, last_message, stream_facts
from controlplane.streams import ensure
from tests.attack.conftest import CountProbes
from tests.parts.realm import Realm
from weft.link import Link
from weft.wire.subjects import GUEST_EVENTS_STREAM, MOUNTS_STREAM, STATUS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0
OWN_STATE = "$JS.API.DIRECT.GET.weft-mounts.weft.mounts.evil"
VICTIMS = 3
"""Reports of the other VM."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One set of headers.

    Attributes:
        asks: What they ask the broker for.
        headers: The headers.
        is_stored: Whether a message that has them is stored, as if it had none.
    """

    asks: str
    headers: Mapping[str, str]
    is_stored: bool


ROWS = (
    Row("how many messages the stream has", {"Nats-Expected-Last-Sequence": "9999"}, False),
    Row("how many messages its own subject has", {"Nats-Expected-Last-Subject-Sequence": "77"}, False),
    Row(
        "when another VM reported",
        {
            "Nats-Expected-Last-Subject-Sequence": "77",
            "Nats-Expected-Last-Subject-Sequence-Subject": "weft.status.victim",
        },
        False,
    ),
    Row(
        "when another VM reported, right by chance",
        {
            "Nats-Expected-Last-Subject-Sequence": str(VICTIMS),
            "Nats-Expected-Last-Subject-Sequence-Subject": "weft.status.victim",
        },
        True,
    ),
    Row("the id of another VM's message", {"Nats-Expected-Last-Msg-Id": "x"}, False),
    Row("the name of a stream", {"Nats-Expected-Stream": MOUNTS_STREAM}, False),
    Row("the stream emptied", {"Nats-Rollup": "all"}, False),
    Row("the subject emptied", {"Nats-Rollup": "sub"}, False),
    Row("a message that ends early", {"Nats-TTL": "1s"}, False),
    Row("a message that never ends", {"Nats-TTL": "never"}, False),
    Row(
        "a message to another VM, at once",
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "weft.status.victim"},
        False,
    ),
    Row(
        "a desired state, every second",
        {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "weft.mounts.victim"},
        False,
    ),
    Row(
        "another VM's message sent on",
        {
            "Nats-Schedule": "@every 1s",
            "Nats-Schedule-Source": "weft.status.victim",
            "Nats-Schedule-Target": "weft.status.evil",
        },
        False,
    ),
    Row("a counter", {"Nats-Incr": "1"}, False),
    Row("a batch", {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"}, False),
    Row("a batch without end", {"Nats-Batch-Id": "c", "Nats-Batch-Sequence": "1"}, False),
    Row("to be taken for a copy", {"Nats-Stream-Source": "weft-mounts 1 > > weft.mounts.victim"}, False),
    Row("to be taken for another VM's first message", {"Nats-Msg-Id": "victim.run.1"}, True),
    Row("a level of the API", {"Nats-Required-Api-Level": "99"}, True),
    Row("a marker of what was removed", {"Nats-Marker-Reason": "Purge"}, True),
    Row("an entry of the catalog removed", {"KV-Operation": "PURGE"}, True),
    Row("to be taken for a live copy", {"Nats-Stream": MOUNTS_STREAM, "Nats-Subject": "weft.mounts.victim"}, True),
    Row("a trace sent to another VM", {"Nats-Trace-Dest": "weft.live.victim"}, False),
    Row("a trace as a desired state", {"Nats-Trace-Dest": "weft.mounts.victim"}, False),
    Row("a trace for itself", {"Nats-Trace-Dest": "_INBOX_evil.trace"}, False),
    Row("a trace and no delivery", {"Nats-Trace-Dest": "_INBOX_evil.trace", "Nats-Trace-Only": "true"}, False),
)
PLACES = ((STATUS_STREAM, "weft.status.evil"), (GUEST_EVENTS_STREAM, "weft.events.vm.evil.share.failed"))


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """Accounts as they are shipped."""
    made = Realm(tmp_path)
    async with made.broker:
        async with made.connected(Role.ADMIN, "root") as link:
            await ensure(link)
        yield made


async def test_no_header_of_a_guest_gets_an_answer_or_touches_anything(realm: Realm, count_probes: CountProbes) -> None:
    """Neither a count nor an id of others comes back, and nothing but its own last messages changes."""
    answers: list[Msg] = []
    strange: list[str] = []

    async def keep(msg: Msg) -> None:
        answers.append(msg)

    async def hear(msg: Msg) -> None:
        strange.append(msg.subject)

    async with (
        asyncio.timeout(120),
        realm.connected(Role.OPERATOR, "ann") as operator,
        realm.connected(Role.GUEST, "victim") as victim,
        realm.connected(Role.GUEST, "evil") as evil,
    ):
        for number in range(VICTIMS):
            await victim.publish("weft.status.victim", b"%d" % number)
        await victim.publish(
            "weft.events.vm.victim.share.failed", b"event", headers={"Nats-Msg-Id": "victim.run.secret"}
        )
        await victim.subscribe("weft.live.victim", hear)
        await victim.flush()
        await evil.subscribe("_INBOX_evil.>", keep)
        await evil.flush()
        before = await others(operator)
        stored: dict[str, list[bool]] = {}
        for stream, subject in PLACES:
            for row in ROWS:
                number = await last_seq(operator, stream)
                await evil.publish(subject, b"attack", reply="_INBOX_evil.answer", headers=dict(row.headers))
                await settled(operator, evil, stream, subject, f"after {row.asks}".encode())
                stored.setdefault(row.asks, []).append(await last_seq(operator, stream) - number == 2)
                count_probes("headers of guests' messages")
        await victim.flush()
        await evil.flush()
        after = await others(operator)
        mounts = (await stream_facts(operator, MOUNTS_STREAM)).last_seq
    expected = {row.asks: row.is_stored for row in ROWS}
    # Each stream counts its own messages, so that what is right by chance in one is wrong in the other.
    expected_of_events = {**expected, "when another VM reported, right by chance": False}
    assert {asks: found[0] for asks, found in stored.items()} == expected
    assert {asks: found[1] for asks, found in stored.items()} == expected_of_events
    assert [msg.data for msg in answers] == []
    assert strange == []
    assert after == before
    assert mounts == 0


async def others(operator: Link) -> dict[str, object]:
    """Read everything that is not the attacker's."""
    found: dict[str, object] = {}
    for stream in (STATUS_STREAM, GUEST_EVENTS_STREAM):
        info = await ask(operator, f"STREAM.INFO.{stream}", {"subjects_filter": ">"})
        for subject, number in (info["state"].get("subjects") or {}).items():
            if "evil" not in subject:
                last = await last_message(operator, stream, subject)
                found[subject] = (number, last)
    return found


async def last_seq(operator: Link, stream: str) -> int:
    return (await stream_facts(operator, stream)).last_seq


async def settled(operator: Link, guest: Link, stream: str, subject: str, mark: bytes) -> None:
    """Return when everything that *guest* sent before is decided: a stream takes messages in order."""
    await guest.publish(subject, mark)
    await guest.flush()
    while True:
        message = await last_message(operator, stream, subject)
        if message is not None and message.data == mark:
            return


async def test_an_answer_to_its_own_state_counts_lists_and_says_nothing_else(realm: Realm) -> None:
    """The sequence grows with everybody's lists: a guest sees that something was published, not for whom nor what."""
    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.OPERATOR, "ann") as operator,
        realm.connected(Role.GUEST, "evil") as evil,
    ):
        seen = []
        for vm in ("evil", "other", "other", "evil"):
            await operator.request(f"weft.mounts.{vm}", b"{}", timeout_s=PATIENCE_S)
            seen.append((await evil.request(OWN_STATE, timeout_s=PATIENCE_S)).headers or {})
        others = b'{"last_by_subj":"weft.mounts.other","multi_last":["weft.mounts.>"],"batch":9}'
        refused = await evil.request(OWN_STATE, others, timeout_s=PATIENCE_S)
    assert [headers["Nats-Sequence"] for headers in seen] == ["1", "1", "1", "4"]
    assert {headers["Nats-Subject"] for headers in seen} == {"weft.mounts.evil"}
    assert (refused.data, (refused.headers or {})["Status"]) == (b"", "408")
    assert set().union(*seen) == {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp"}
