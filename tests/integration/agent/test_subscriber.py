"""The Subscriber on a real broker: replay, live, plain streams, core mode, and every way of being silent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from agent import Subscriber
from tests.parts.broker import Broker
from tests.parts.shares import bind, encoded_set, unmount
from weft.errors import MountError
from weft.link import Link, LinkOptions
from weft.wire.codec import encode_message
from weft.wire.share import ShareMount
from weft.wire.status import Mode
from weft.wire.subjects import MOUNTS_STREAM, subject

pytestmark = pytest.mark.integration

DEADLINE_S = 10.0
SUBJECT = subject("vm-7")
A, B, C = bind("a"), bind("b"), bind("c")
STREAM = {
    "name": MOUNTS_STREAM,
    "subjects": ["weft.mounts.*"],
    "max_msgs_per_subject": 1,
    "allow_direct": True,
    "republish": {"src": "weft.mounts.*", "dest": "weft.live.{{wildcard(1)}}"},
    "storage": "file",
}


class Recorder:
    """An ApplyFunc that remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, int] = {}
        self._called = asyncio.Event()

    async def __call__(self, share: ShareMount) -> None:
        self.calls.append(f"{'-' if share.is_unmount else '+'}{share.id}")
        self._called.set()
        if self.failures.get(share.id, 0) > 0:
            self.failures[share.id] -= 1
            raise MountError(f"cannot mount {share.id}")

    async def until(self, *wanted: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not set(wanted) <= set(self.calls):
                self._called.clear()
                await self._called.wait()


@asynccontextmanager
async def connected(broker: Broker) -> AsyncIterator[Client]:
    nc = await nats.connect(broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    try:
        yield nc
    finally:
        await nc.close()


async def make_stream(nc: Client, **changes: Any) -> None:
    config = {key: value for key, value in {**STREAM, **changes}.items() if value is not None}
    answer = await nc.request(f"$JS.API.STREAM.CREATE.{MOUNTS_STREAM}", json.dumps(config).encode(), timeout=5)
    assert b'"error"' not in answer.data, answer.data


async def store(nc: Client, data: bytes) -> None:
    await nc.jetstream().publish(SUBJECT, data)


async def settled(subscriber: Subscriber) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await subscriber.wait_settled()


async def read_again(subscriber: Subscriber) -> None:
    """Have the stored message read again, and wait until whatever follows has been done."""
    async with asyncio.timeout(DEADLINE_S):
        await subscriber.read_now()
        await subscriber.wait_settled()


async def test_everything_published_before_boot_arrives(broker: Broker) -> None:
    """One message has the whole state, so two shares published one after the other are both there."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encoded_set(1, A))
        await store(nc, encoded_set(2, A, B, changed=B))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            assert subscriber.mode is Mode.JETSTREAM
            await apply.until("+a", "+b")


async def test_live_publishes_are_applied_and_leavers_unmounted(broker: Broker) -> None:
    """What left the list goes, what stayed is untouched."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await store(nc, encoded_set(1, A, B))
            await apply.until("+a", "+b")
            await store(nc, encoded_set(2, B, C))
            await apply.until("-a", "+c")
            await settled(subscriber)
    assert sorted(apply.calls) == ["+a", "+b", "+c", "-a"]


async def test_an_unchanged_republish_applies_nothing(broker: Broker) -> None:
    """Neither as the same revision nor as a newer one with the same shares."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await store(nc, encoded_set(1, A))
            await apply.until("+a")
            await store(nc, encoded_set(1, A))
            await store(nc, encoded_set(2, A))
            await store(nc, encoded_set(3, A, B))
            await apply.until("+b")
            await settled(subscriber)
    assert apply.calls == ["+a", "+b"]


async def test_silence_unmounts_nothing(broker: Broker) -> None:
    """Not a purged subject, a deleted stream or a recreated empty one; a lower sequence then is no obstacle."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encoded_set(1, A))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await nc.jetstream().purge_stream(MOUNTS_STREAM)
            await read_again(subscriber)
            await nc.jetstream().delete_stream(MOUNTS_STREAM)
            await read_again(subscriber)
            assert subscriber.problem is not None
            assert "does not exist" in subscriber.problem
            assert subscriber.mode is Mode.JETSTREAM
            await make_stream(nc)
            await read_again(subscriber)
            assert subscriber.problem is None
            assert apply.calls == ["+a"]
            await store(nc, encoded_set(2, A, B))
            await apply.until("+b")
    assert apply.calls == ["+a", "+b"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"{", "cannot decode", id="no JSON"),
        pytest.param(encoded_set(9, B, vm="vm-8"), "vm-8", id="another VM's"),
        pytest.param(encoded_set(1, B), "revision 1", id="older revision"),
        pytest.param(encoded_set(2, B), "other content", id="same revision, other content"),
        pytest.param(b'{"vm":"vm-7","revision":3,"shares":null}', "shares", id="shares null"),
        pytest.param(b'{"vm":"vm-7","revision":-1,"shares":[]}', "revision", id="negative revision"),
        pytest.param(b'{"id":"a","action":"remount","mount_point":"/mnt/a"}', "remount", id="unknown action"),
    ],
)
async def test_a_message_that_cannot_be_obeyed_changes_nothing(broker: Broker, data: bytes, words: str) -> None:
    """It is reported, and the next good one is obeyed."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encoded_set(2, A))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await store(nc, data)
            await read_again(subscriber)
            assert words in (subscriber.problem or "")
            assert apply.calls == ["+a"]
            await store(nc, encoded_set(4, A, C))
            await apply.until("+c")
            assert subscriber.problem is None


async def test_a_plainly_made_stream_works(broker: Broker) -> None:
    """Without Direct Get and live copies it is read through the stream API, and its subject gives the hint."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc, allow_direct=None, republish=None)
        await store(nc, encoded_set(1, A))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a")
            assert subscriber.mode is Mode.JETSTREAM
            await store(nc, encoded_set(2, A, B))
            await apply.until("+b")


async def test_a_publish_that_the_stream_refused_is_not_obeyed(broker: Broker) -> None:
    """A plain subscriber sees it all the same."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc, allow_direct=None, republish=None)
        await store(nc, encoded_set(1, A))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a")
            headers = {"Nats-Expected-Last-Subject-Sequence": "77"}
            await nc.publish(SUBJECT, encoded_set(2, B), headers=headers)
            await nc.flush()
            await read_again(subscriber)
            assert apply.calls == ["+a"]


async def test_a_forged_live_copy_is_only_a_nudge(broker: Broker) -> None:
    """It does not come from the stream, so the stream is asked."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encoded_set(1, A))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await nc.publish("weft.live.vm-7", encoded_set(2, B))
            await nc.flush()
            await read_again(subscriber)
    assert apply.calls == ["+a"]


async def test_single_messages_of_another_publisher_are_obeyed(broker: Broker) -> None:
    """Mount, change and unmount by id, others left alone."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc, allow_direct=None, republish=None)
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await store(nc, encode_message(A))
            await apply.until("+a")
            await store(nc, encode_message(B))
            await apply.until("+b")
            await store(nc, encode_message(unmount("a")))
            await apply.until("-a")
            await settled(subscriber)
    assert apply.calls == ["+a", "+b", "-a"]


async def test_an_unmount_of_an_unknown_share_is_passed_on_once(broker: Broker) -> None:
    """An earlier run of the program may have mounted it."""
    apply = Recorder()
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encode_message(unmount("a")))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("-a")
            await read_again(subscriber)
    assert apply.calls == ["-a"]


async def test_a_failed_apply_is_tried_again_and_stops_nobody(broker: Broker) -> None:
    """Its neighbours are applied meanwhile."""
    apply = Recorder()
    apply.failures = {"a": 1}
    async with connected(broker) as nc:
        await make_stream(nc)
        await store(nc, encoded_set(1, A, B))
        async with Subscriber(nc, "vm-7", apply) as subscriber:
            await apply.until("+a", "+b")
            subscriber.retry()
            await settled(subscriber)
    assert sorted(apply.calls) == ["+a", "+a", "+b"]


async def test_core_mode_applies_what_flies_by(plain_broker: Broker) -> None:
    """Without JetStream on the server."""
    apply = Recorder()
    async with connected(plain_broker) as nc, Subscriber(nc, "vm-7", apply) as subscriber:
        assert subscriber.mode is Mode.CORE
        await nc.publish(SUBJECT, encoded_set(1, A))
        await apply.until("+a")


async def test_core_mode_moves_up_when_jetstream_appears(tmp_path: Path) -> None:
    """After the broker came back with it."""
    apply = Recorder()
    async with Broker(tmp_path, jetstream=False) as broker:
        link = Link(LinkOptions(servers=(broker.url,), reconnect_cap_s=0.1))
        async with link, Subscriber(link, "vm-7", apply) as subscriber:
            assert subscriber.mode is Mode.CORE
            await broker.stop()
            broker.jetstream = True
            await broker.start()
            async with connected(broker) as nc:
                await make_stream(nc)
                await store(nc, encoded_set(1, A))
                await apply.until("+a")
                async with asyncio.timeout(DEADLINE_S):  # what it heard may come before what it reads
                    while subscriber.mode is not Mode.JETSTREAM:  # noqa: ASYNC110 - its mode has no event
                        await asyncio.sleep(0)


async def test_what_was_published_while_the_broker_was_away_arrives_after_the_reconnect(tmp_path: Path) -> None:
    """The guest's connection was cut, the message was stored, and nothing was unmounted meanwhile."""
    apply = Recorder()
    async with Broker(tmp_path) as broker:
        async with connected(broker) as nc:
            await make_stream(nc)
            await store(nc, encoded_set(1, A))
        link = Link(LinkOptions(servers=(broker.url,), reconnect_cap_s=0.1))
        async with link, Subscriber(link, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await broker.kill()
            await broker.start()
            async with connected(broker) as nc:
                await store(nc, encoded_set(2, B))
            await apply.until("-a", "+b")
            await settled(subscriber)


async def test_a_missing_stream_can_be_made_in_development(broker: Broker) -> None:
    """Only if asked to."""
    apply = Recorder()
    async with connected(broker) as nc, Subscriber(nc, "vm-7", apply, may_create_stream=True) as subscriber:
        await store(nc, encoded_set(1, A))
        await apply.until("+a")
        assert subscriber.problem is None


async def test_a_missing_stream_is_noticed_as_soon_as_it_appears(broker: Broker) -> None:
    """The subject itself gives the hint."""
    apply = Recorder()
    async with connected(broker) as nc, Subscriber(nc, "vm-7", apply) as subscriber:
        assert "does not exist" in (subscriber.problem or "")
        assert subscriber.mode is Mode.JETSTREAM
        await make_stream(nc)
        await store(nc, encoded_set(1, A))
        await apply.until("+a")


GUEST = """
authorization {
  users = [
    { user: admin, password: admin }
    { user: guest, password: guest, permissions: {
        publish: ["$JS.API.DIRECT.GET.weft-mounts.weft.mounts.vm-7", "weft.status.vm-7"]
        subscribe: [%s]
    } }
  ]
}
"""


@asynccontextmanager
async def guarded(tmp_path: Path, *subjects: str) -> AsyncIterator[tuple[Client, Link]]:
    """A broker, its administrator's connection, and a link that may subscribe to *subjects* only."""
    config = GUEST % ", ".join(f'"{each}"' for each in subjects)
    async with Broker(tmp_path, config=config) as broker:
        admin = await nats.connect(broker.url, user="admin", password="admin")
        options = LinkOptions(servers=(broker.url,), user="guest", password="guest", inbox_prefix="_INBOX_vm-7")
        try:
            await make_stream(admin)
            async with Link(options) as link:
                yield admin, link
        finally:
            await admin.close()


async def test_a_guests_least_privileges_are_enough(tmp_path: Path) -> None:
    """Direct Get of its own subject, its own live copies, its own inbox."""
    apply = Recorder()
    async with guarded(tmp_path, "_INBOX_vm-7.>", "weft.live.vm-7") as (admin, link):
        await store(admin, encoded_set(1, A))
        async with Subscriber(link, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await store(admin, encoded_set(2, A, B))
            await apply.until("+b")
            assert subscriber.problem is None
            assert link.denied_subjects == frozenset()


async def test_a_denied_subscription_is_a_problem_that_is_told(tmp_path: Path) -> None:
    """What is stored is obeyed all the same."""
    apply = Recorder()
    async with guarded(tmp_path, "_INBOX_vm-7.>") as (admin, link):
        await store(admin, encoded_set(1, A))
        async with Subscriber(link, "vm-7", apply) as subscriber:
            await apply.until("+a")
            await read_again(subscriber)
            assert "weft.live.vm-7" in (subscriber.problem or "")
            assert subscriber.mode is Mode.JETSTREAM


async def test_a_stream_that_may_not_be_read_is_no_core_mode(tmp_path: Path) -> None:
    """It is an error of JetStream mode, told with what to do."""
    apply = Recorder()
    async with guarded(tmp_path, "_INBOX_vm-7.>", "weft.live.vm-7") as (admin, link):
        await admin.jetstream().delete_stream(MOUNTS_STREAM)
        async with Subscriber(link, "vm-7", apply) as subscriber:
            assert subscriber.mode is Mode.JETSTREAM
            assert "weft init" in (subscriber.problem or "")
            await make_stream(admin)
            await store(admin, encoded_set(1, A))
            await apply.until("+a")
