"""What a guest can do with its credentials, and what it cannot, on a real broker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from agent import Subscriber
from controlplane.auth import limits
from controlplane.auth.limits import GUEST_PAYLOAD_BYTES, GUEST_SUBSCRIPTIONS
from controlplane.auth.roles import Account, Role
from controlplane.jetstream import last_message
from controlplane.streams import ensure
from tests.parts.realm import Realm, not_refused
from tests.parts.reporting import until_stored
from tests.parts.shares import bind, encoded_set
from weft.errors import BrokerError, BrokerUnreachableError, NoRespondersError, PayloadTooLargeError
from weft.link import Link
from weft.wire.share import ShareMount
from weft.wire.status import ErrorCode, Mode, ShareError, ShareState, ShareStatus, VmStatus, encode_status
from weft.wire.subjects import GUEST_EVENTS_STREAM, MOUNTS_STREAM, STATUS_STREAM

pytestmark = pytest.mark.integration

PATIENCE_S = 10.0
DIRECT_GET = "$JS.API.DIRECT.GET.weft-mounts"
A, B = bind("a"), bind("b")


async def store(operator: Link, subject: str, data: bytes) -> None:
    """Store a message the way any JetStream client does."""
    answer = await operator.request(subject, data, timeout_s=PATIENCE_S)
    assert "seq" in json.loads(answer.data), answer.data


async def stored(operator: Link, stream: str, subject: str) -> bytes | None:
    """Read the last message on *subject*."""
    message = await last_message(operator, stream, subject)
    return None if message is None else message.data


async def test_guest_reads_its_own_state_and_hears_of_a_new_one(realm: Realm, operator: Link) -> None:
    """Direct Get and the live subject have the names that they have without accounts."""
    heard: asyncio.Queue[Msg] = asyncio.Queue()

    async def keep(msg: Msg) -> None:
        heard.put_nowait(msg)

    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "vm-1") as guest:
        await guest.subscribe("weft.live.vm-1", keep)
        await guest.flush()
        await store(operator, "weft.mounts.vm-1", b"mine")
        live = await heard.get()
        read = await guest.request(f"{DIRECT_GET}.weft.mounts.vm-1", timeout_s=PATIENCE_S)
    assert live.data == read.data == b"mine"
    for msg in (live, read):
        assert msg.headers is not None
        assert msg.headers["Nats-Stream"] == MOUNTS_STREAM
        assert msg.headers["Nats-Subject"] == "weft.mounts.vm-1"
        assert msg.headers["Nats-Sequence"] == "1"
        assert "Nats-Time-Stamp" in msg.headers


async def test_guest_without_a_state_is_told_so(realm: Realm, operator: Link) -> None:
    """No message is an answer, not a refusal."""
    async with realm.connected(Role.GUEST, "vm-1") as guest:
        read = await guest.request(f"{DIRECT_GET}.weft.mounts.vm-1", timeout_s=PATIENCE_S)
    assert (read.headers or {})["Status"] == "404"


async def test_reports_reach_the_streams_without_an_answer(realm: Realm, operator: Link) -> None:
    """Status and events cross into the operators' account; an acknowledgement would tell what others have sent."""
    async with realm.connected(Role.GUEST, "vm-1") as guest:
        with pytest.raises(BrokerUnreachableError):
            await guest.request("weft.status.vm-1", b"first", timeout_s=0.5)
        await guest.publish("weft.status.vm-1", b"second")
        await guest.publish("weft.events.vm.vm-1.share.mounted", b"event")
        await guest.flush()
        await until_stored(operator, STATUS_STREAM, "weft.status.vm-1", b"second")
        await until_stored(operator, GUEST_EVENTS_STREAM, "weft.events.vm.vm-1.share.mounted", b"event")


async def test_operator_hears_reports_as_they_are_stored(realm: Realm, operator: Link) -> None:
    """What a guest sends crosses into one account only, so the stream repeats it; waiting needs no reading."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def keep(msg: Msg) -> None:
        heard.put_nowait(msg.data)

    await operator.subscribe("weft.repeated.status.*", keep)
    await operator.flush()
    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "vm-1") as guest:
        await guest.publish("weft.status.vm-1", b"here")
        assert await heard.get() == b"here"


NOT_TO_SEND = {
    "another VM's state": f"{DIRECT_GET}.weft.mounts.vm-2",
    "the form that names the subject in its payload": DIRECT_GET,
    "the stream's own read": "$JS.API.STREAM.MSG.GET.weft-mounts",
    "the stream's settings": "$JS.API.STREAM.INFO.weft-mounts",
    "making a stream": "$JS.API.STREAM.CREATE.weft-mounts",
    "a consumer": "$JS.API.CONSUMER.CREATE.weft-mounts.x.weft.mounts.vm-1",
    "its own desired state": "weft.mounts.vm-1",
    "another VM's desired state": "weft.mounts.vm-2",
    "another VM's live copies": "weft.live.vm-2",
    "another VM's status": "weft.status.vm-2",
    "another VM's events": "weft.events.vm.vm-2.mount.applied",
    "operators' events": "weft.events.op.publish",
    "the catalog": "$KV.weft-catalog.share.docs",
    "another VM's inbox": "_INBOX_vm-2.x",
}
NOT_TO_HEAR = (
    *("weft.live.vm-2", "weft.live.*", "weft.live.>", "weft.mounts.vm-1", "weft.mounts.*", "weft.status.vm-1"),
    *("weft.status.*", "weft.events.>", "_INBOX_vm-2.>", "_INBOX_vm-10.>", "_INBOX.>", "*.>", ">", "_R_.>"),
)


async def test_guest_may_send_nothing_that_is_not_its_own(realm: Realm, operator: Link) -> None:
    """The broker refuses at once, and says so."""
    async with realm.connected(Role.GUEST, "vm-1") as guest:
        assert await not_refused(guest, NOT_TO_SEND) == []


async def test_guest_may_hear_nothing_that_is_not_its_own(realm: Realm, operator: Link) -> None:
    """Neither others' messages, nor anybody's answers but its own."""

    async def keep(msg: Msg) -> None:
        raise AssertionError(msg.subject)

    async with realm.connected(Role.GUEST, "vm-1") as guest:
        for subject in NOT_TO_HEAR:
            await guest.subscribe(subject, keep)
        await guest.flush()
        assert guest.denied_subjects == frozenset(NOT_TO_HEAR)


async def test_an_answer_cannot_be_aimed_at_another_vm(realm: Realm, operator: Link) -> None:
    """The broker checks no reply subject, so the accounts must: the attacker's own grants change nothing of others."""
    await store(operator, "weft.mounts.vm-1", b"the attacker's")
    await store(operator, "weft.mounts.vm-2", b"the victim's")
    async with realm.connected(Role.GUEST, "vm-1") as guest:
        event = "weft.events.vm.vm-1.share.failed"
        for subject in (f"{DIRECT_GET}.weft.mounts.vm-1", "weft.status.vm-1", event):
            for aim in ("weft.mounts.vm-2", "$KV.weft-catalog.share.docs", "weft.status.vm-2"):
                await guest.publish(subject, b"attack", reply=aim)
        # A stream takes messages in order, so these come after whatever the attack caused.
        await guest.request(f"{DIRECT_GET}.weft.mounts.vm-1", timeout_s=PATIENCE_S)
        await guest.publish("weft.status.vm-1", b"honest")
        await guest.publish(event, b"honest")
        await guest.flush()
        await until_stored(operator, STATUS_STREAM, "weft.status.vm-1", b"honest")
        await until_stored(operator, GUEST_EVENTS_STREAM, event, b"honest")
    await operator.flush()
    assert await stored(operator, MOUNTS_STREAM, "weft.mounts.vm-2") == b"the victim's"
    assert await stored(operator, STATUS_STREAM, "weft.status.vm-2") is None
    assert await stored(operator, "KV_weft-catalog", "$KV.weft-catalog.share.docs") is None


async def test_forged_live_copy_is_only_a_nudge(realm: Realm, operator: Link) -> None:
    """Inside the guests' account an answer can be aimed at a live subject; the agent there applies nothing of it."""
    applied: list[str] = []

    async def apply(share: ShareMount) -> None:
        applied.append(share.id)

    attack = encoded_set(9, B, vm="vm-1")
    await store(operator, "weft.mounts.vm-1", attack)
    await store(operator, "weft.mounts.vm-2", encoded_set(1, A, vm="vm-2"))
    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.GUEST, "vm-1") as attacker,
        realm.connected(Role.GUEST, "vm-2") as victim,
        Subscriber(victim, "vm-2", apply) as subscriber,
    ):
        forged: asyncio.Queue[Msg] = asyncio.Queue()

        async def note(msg: Msg) -> None:
            forged.put_nowait(msg)

        await victim.subscribe("weft.live.vm-2", note)
        await victim.flush()
        await attacker.publish(f"{DIRECT_GET}.weft.mounts.vm-1", b"", reply="weft.live.vm-2")
        assert (await forged.get()).data == attack
        await subscriber.read_now()
        await subscriber.wait_settled()
    assert applied == ["a"]


async def test_subscriber_works_with_guest_credentials(realm: Realm, operator: Link) -> None:
    """Replay and live, in JetStream mode, without any grant beyond the guest's."""
    applied: asyncio.Queue[str] = asyncio.Queue()

    async def apply(share: ShareMount) -> None:
        applied.put_nowait(share.id)

    await store(operator, "weft.mounts.vm-1", encoded_set(1, A, vm="vm-1"))
    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "vm-1") as guest:
        async with Subscriber(guest, "vm-1", apply) as subscriber:
            assert await applied.get() == "a"
            assert subscriber.mode is Mode.JETSTREAM
            await store(operator, "weft.mounts.vm-1", encoded_set(2, A, B, vm="vm-1"))
            assert await applied.get() == "b"
        assert guest.denied_subjects == frozenset()


async def test_guest_before_weft_init_stays_in_jetstream_mode(realm: Realm) -> None:
    """A missing stream is no reason to fall back to core mode; once it is there, the guest finds it."""
    applied: asyncio.Queue[str] = asyncio.Queue()

    async def apply(share: ShareMount) -> None:
        applied.put_nowait(share.id)

    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.GUEST, "vm-1") as guest,
        Subscriber(guest, "vm-1", apply, read_interval_s=0.1) as subscriber,
    ):
        assert subscriber.mode is Mode.JETSTREAM
        with pytest.raises(NoRespondersError):
            await guest.request(f"{DIRECT_GET}.weft.mounts.vm-1", timeout_s=PATIENCE_S)
        async with realm.connected(Role.ADMIN, "root") as operator:
            await ensure(operator)
            await store(operator, "weft.mounts.vm-1", encoded_set(1, A, vm="vm-1"))
            assert await applied.get() == "a"
        assert subscriber.mode is Mode.JETSTREAM


async def test_a_state_as_large_as_the_broker_takes_reaches_a_guest(realm: Realm, operator: Link) -> None:
    """What a guest may send is limited, what it is sent is not: read, and heard as a live copy."""
    size = operator.max_payload - 4096
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE_S), realm.connected(Role.GUEST, "vm-1") as guest:
        await guest.subscribe("weft.live.vm-1", heard.put)
        await guest.flush()
        await store(operator, "weft.mounts.vm-1", b"x" * size)
        read = await guest.request(f"{DIRECT_GET}.weft.mounts.vm-1", timeout_s=PATIENCE_S)
        assert len(read.data) == len((await heard.get()).data) == size


def report_of(shares: int) -> bytes:
    """A guest's report in which every share failed, with a sentence about it."""
    status = ShareStatus(
        id="x" * 40,
        mount_point="/run/weft/shares/" + "x" * 60,
        backend="rclone",
        digest="0" * 16,
        state=ShareState.FAILED,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        attempts=7,
        error=ShareError(code=ErrorCode.UNREACHABLE, message="m" * 120, detail="d" * 120),
    )
    return encode_status(VmStatus(vm="vm-1", mode=Mode.JETSTREAM, shares=(status,) * shares))


async def test_a_report_of_a_thousand_failed_shares_fits(realm: Realm, operator: Link) -> None:
    """The limit of what a guest sends leaves twice that much room, and a client is told it beforehand."""
    report = report_of(1000)
    async with realm.connected(Role.GUEST, "vm-1") as guest:
        assert guest.max_payload == GUEST_PAYLOAD_BYTES
        assert len(report) < GUEST_PAYLOAD_BYTES * 0.6
        await guest.publish("weft.status.vm-1", report)
        await until_stored(operator, STATUS_STREAM, "weft.status.vm-1", report)
        with pytest.raises(PayloadTooLargeError):
            await guest.publish("weft.status.vm-1", b"x" * (GUEST_PAYLOAD_BYTES + 1))


async def test_a_guest_that_subscribes_without_end_is_thrown_out(realm: Realm, operator: Link) -> None:
    """It loses its connection, and nobody else notices."""
    thrown_out = asyncio.Event()

    async def keep(msg: Msg) -> None:
        raise AssertionError(msg.subject)

    async with (
        asyncio.timeout(PATIENCE_S),
        realm.connected(Role.GUEST, "vm-2") as other,
        realm.connected(Role.GUEST, "vm-1") as guest,
    ):
        guest.on_disconnected(thrown_out.set)
        for number in range(GUEST_SUBSCRIPTIONS + 1):
            await guest.subscribe(f"_INBOX_vm-1.{number}", keep)
        await thrown_out.wait()
        await other.publish("weft.status.vm-2", b"still here")
        await until_stored(operator, STATUS_STREAM, "weft.status.vm-2", b"still here")


async def test_guests_that_take_every_connection_leave_operators_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool of connections is the guests' own; here it is of two."""
    monkeypatch.setattr(limits, "CONNECTIONS", {**limits.CONNECTIONS, Account.GUESTS: 2})
    small = Realm(tmp_path)
    async with (
        asyncio.timeout(PATIENCE_S),
        small.broker,
        small.connected(Role.GUEST, "vm-1"),
        small.connected(Role.GUEST, "vm-1"),
    ):
        with pytest.raises(BrokerError, match="maximum account active connections"):
            async with small.connected(Role.GUEST, "vm-2"):
                raise AssertionError("a third guest got in")
        async with small.connected(Role.OPERATOR, "ann") as operator:
            await operator.flush()
