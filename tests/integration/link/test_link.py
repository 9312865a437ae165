"""A link over a real broker that comes, goes, restarts and hangs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from tests.parts.broker import Broker
from weft.errors import (
    BrokerDeniedError,
    BrokerUnreachableError,
    NoRespondersError,
    PayloadTooLargeError,
)
from weft.link import Link, LinkOptions, LinkState

pytestmark = pytest.mark.integration
PATIENCE_S = 20.0


def link_to(*brokers: Broker, ping_interval_s: float = 10.0, connect_timeout_s: float = 5.0) -> Link:
    """A link that hardly waits between its attempts."""
    options = LinkOptions(
        servers=tuple(broker.url for broker in brokers),
        ping_interval_s=ping_interval_s,
        connect_timeout_s=connect_timeout_s,
    )
    return Link(options, jitter=lambda: 0.05)


class Turns:
    """What a link announced, one after the other."""

    def __init__(self, link: Link) -> None:
        self._seen: asyncio.Queue[str] = asyncio.Queue()
        link.on_connected(lambda: self._seen.put_nowait("connected"))
        link.on_disconnected(lambda: self._seen.put_nowait("disconnected"))

    async def next(self) -> str:
        """Return the next turn, waiting for it."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._seen.get()


class Inbox:
    """What a subscription received."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, msg: Msg) -> None:
        self._messages.put_nowait(msg.data)

    async def next(self) -> bytes:
        """Return the next message, waiting for it."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._messages.get()


@pytest.fixture
async def link(broker: Broker) -> AsyncIterator[Link]:
    """A link connected to the broker."""
    async with link_to(broker) as connected:
        yield connected


async def test_connected_link_knows_its_server(link: Link, broker: Broker) -> None:
    """What the server said about itself is there as soon as connect returns."""
    assert link.state is LinkState.CONNECTED
    assert link.problem is None
    assert link.has_jetstream
    assert link.max_payload == 1024 * 1024
    assert link.server_version.startswith("2.")


async def test_broker_without_jetstream_is_known(plain_broker: Broker) -> None:
    """The server's own word decides, not a request that nobody answers."""
    async with link_to(plain_broker) as link:
        assert not link.has_jetstream


async def test_connect_without_a_broker_is_a_prompt_clear_error(broker: Broker) -> None:
    """An operator reads where it went and why, at once."""
    await broker.stop()
    link = link_to(broker)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BrokerUnreachableError, match=rf"{broker.url}: connection refused"):
            await link.connect()
    assert link.state is LinkState.CONNECTING
    assert "connection refused" in (link.problem or "")


async def test_connect_gives_up_on_a_server_that_never_greets(broker: Broker) -> None:
    """A frozen broker costs the connect timeout, not for ever."""
    broker.freeze()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BrokerUnreachableError, match="no answer in time"):
            await link_to(broker, connect_timeout_s=0.2).connect()


async def test_connect_tries_every_server(broker: Broker, plain_broker: Broker) -> None:
    """One dead server among several does not use up the time of the others."""
    broker.freeze()
    async with asyncio.timeout(PATIENCE_S), link_to(broker, plain_broker, connect_timeout_s=2.0) as link:
        assert link.state is LinkState.CONNECTED


async def test_started_link_waits_for_a_broker_that_comes_later(broker: Broker) -> None:
    """A guest that boots before its broker connects when it appears, with the subscriptions made meanwhile."""
    await broker.stop()
    link, inbox = link_to(broker), Inbox()
    link.start()
    try:
        await link.subscribe("greeting", inbox)
        with pytest.raises(BrokerUnreachableError, match="connection refused"):
            await link.wait_connected(1.0)
        await broker.start()
        await link.wait_connected(PATIENCE_S)
        await link.publish("greeting", b"hello")
        assert await inbox.next() == b"hello"
    finally:
        await link.close()


async def test_subscription_survives_broker_restart(link: Link, broker: Broker) -> None:
    """After a restart the same subscription receives again, and both turns were announced."""
    turns, inbox = Turns(link), Inbox()
    await link.subscribe("weft.live.vm-1", inbox)
    await broker.restart()
    assert [await turns.next(), await turns.next()] == ["disconnected", "connected"]
    await link.publish("weft.live.vm-1", b"again")
    assert await inbox.next() == b"again"


async def test_info_is_fresh_after_reconnect(link: Link, broker: Broker) -> None:
    """A broker that comes back without JetStream is known to have none."""
    turns = Turns(link)
    await broker.restart(jetstream=False)
    assert [await turns.next(), await turns.next()] == ["disconnected", "connected"]
    assert not link.has_jetstream


async def test_publish_while_down_fails_at_once(link: Link, broker: Broker) -> None:
    """Nothing is buffered in silence: the caller knows that it was not sent."""
    turns = Turns(link)
    await broker.kill()
    assert await turns.next() == "disconnected"
    with pytest.raises(BrokerUnreachableError, match=r"cannot publish on 'weft\.status\.vm-1'"):
        await link.publish("weft.status.vm-1", b"{}")
    with pytest.raises(BrokerUnreachableError):
        _ = link.nc


async def test_request_ends_when_the_broker_is_lost(link: Link, broker: Broker) -> None:
    """Nobody waits out a long timeout on a connection that is gone."""
    asked = asyncio.Event()

    async def keep_silent(msg: Msg) -> None:
        asked.set()

    await link.subscribe("slow", keep_silent)
    question = asyncio.create_task(link.request("slow", timeout_s=600))
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        await broker.kill()
        with pytest.raises(BrokerUnreachableError, match="cannot know the outcome"):
            await question


async def test_request_without_anybody_listening_is_its_own_error(link: Link) -> None:
    """No responders is an answer, not a timeout."""
    with pytest.raises(NoRespondersError, match="nobody"):
        await link.request("nobody.there", timeout_s=PATIENCE_S)


async def test_unanswered_request_is_unreachable(link: Link) -> None:
    """Silence within the timeout is said with the subject."""
    await link.subscribe("slow", Inbox())
    with pytest.raises(BrokerUnreachableError, match=r"'slow' within 0\.1 s"):
        await link.request("slow", timeout_s=0.1)


async def test_too_large_message_is_a_typed_error(link: Link) -> None:
    """The broker would close the connection for it."""
    with pytest.raises(PayloadTooLargeError):
        await link.publish("big", b"x" * (link.max_payload + 1))
    await link.flush()


async def test_failing_callback_does_not_end_its_subscription(link: Link) -> None:
    """The message after one that raised is delivered."""
    inbox = Inbox()

    async def fragile(msg: Msg) -> None:
        if msg.data == b"bad":
            raise ValueError("cannot digest that")
        await inbox(msg)

    await link.subscribe("food", fragile)
    await link.publish("food", b"bad")
    await link.publish("food", b"good")
    assert await inbox.next() == b"good"


async def test_failing_listener_does_not_keep_others_from_hearing(broker: Broker) -> None:
    """A listener that raises, and one that is removed, change nothing for the rest."""
    link = link_to(broker)

    def fail() -> None:
        raise ValueError("not today")

    link.on_connected(fail)
    removed = Turns(link)
    remove = link.on_connected(lambda: removed._seen.put_nowait("never"))
    remove()
    async with link:
        assert await removed.next() == "connected"


async def test_callback_is_not_broken_off_by_a_lost_connection(link: Link, broker: Broker) -> None:
    """What a message set going is finished, and later messages wait for it in order."""
    turns = Turns(link)
    begun, may_finish, order = asyncio.Event(), asyncio.Event(), Inbox()

    async def careful(msg: Msg) -> None:
        begun.set()
        await may_finish.wait()
        await order(msg)

    await link.subscribe("work", careful)
    await link.publish("work", b"first")
    async with asyncio.timeout(PATIENCE_S):
        await begun.wait()
    await broker.restart()
    assert [await turns.next(), await turns.next()] == ["disconnected", "connected"]
    await link.publish("work", b"second")
    await link.flush()
    may_finish.set()
    assert [await order.next(), await order.next()] == [b"first", b"second"]


async def test_link_can_be_closed_by_a_callback(broker: Broker) -> None:
    """Closing from inside neither waits for itself nor breaks itself off."""
    link = link_to(broker)
    closed = asyncio.Event()

    async def close(msg: Msg) -> None:
        await link.close()
        closed.set()

    await link.connect()
    await link.subscribe("end", close)
    await link.publish("end", b"")
    async with asyncio.timeout(PATIENCE_S):
        await closed.wait()
    assert link.state is LinkState.CLOSED


async def test_unsubscribed_subject_is_not_remade(link: Link, broker: Broker) -> None:
    """Interest that was taken back stays away after a reconnect."""
    turns, unwanted, wanted = Turns(link), Inbox(), Inbox()
    subscription = await link.subscribe("news", unwanted)
    await subscription.unsubscribe()
    await subscription.unsubscribe()
    await link.subscribe("news", wanted)
    await broker.restart()
    assert [await turns.next(), await turns.next()] == ["disconnected", "connected"]
    await link.publish("news", b"1")
    assert await wanted.next() == b"1"
    assert unwanted._messages.empty()


async def test_dead_read_loop_is_noticed(link: Link) -> None:
    """A client whose read loop died still says it is connected; the link replaces it."""
    turns, inbox = Turns(link), Inbox()
    await link.subscribe("echo", inbox)
    dying = link.nc

    async def fail(data: bytes) -> None:
        raise RuntimeError("the parser gave up")

    dying._ps.parse = fail  # type: ignore[method-assign]
    await link.publish("echo", b"lost")
    assert [await turns.next(), await turns.next()] == ["disconnected", "connected"]
    assert link.nc is not dying
    await link.publish("echo", b"heard")
    assert await inbox.next() == b"heard"


async def test_frozen_broker_is_noticed_by_unanswered_pings(broker: Broker) -> None:
    """A connection that stays open and says nothing is given up, and made again when the broker thaws."""
    async with link_to(broker, ping_interval_s=0.05, connect_timeout_s=0.5) as link:
        turns = Turns(link)
        broker.freeze()
        assert await turns.next() == "disconnected"
        assert link.state is LinkState.DISCONNECTED
        broker.thaw()
        assert await turns.next() == "connected"


async def test_close_is_prompt_and_final(broker: Broker) -> None:
    """A closed link, even over a frozen broker, ends soon, twice, and refuses everything after."""
    link = link_to(broker)
    await link.connect()
    broker.freeze()
    async with asyncio.timeout(PATIENCE_S):
        await link.close()
        await link.close()
    assert link.state is LinkState.CLOSED
    with pytest.raises(BrokerUnreachableError, match="closed"):
        await link.publish("a", b"")
    with pytest.raises(BrokerUnreachableError, match="closed"):
        link.start()


async def test_closing_a_link_that_never_connected_ends_its_attempts(broker: Broker) -> None:
    """Nothing of it goes on in the background."""
    await broker.stop()
    before = asyncio.all_tasks()
    link = link_to(broker)
    link.start()
    await link.close()
    assert asyncio.all_tasks() == before


async def test_link_moves_to_another_server_of_the_cluster(tmp_path: Path) -> None:
    """Servers that the cluster told about are tried when the configured one is gone."""
    cluster = "cluster {{ name: c, listen: 127.0.0.1:-1{routes} }}"
    async with Broker(tmp_path / "a", jetstream=False, config=cluster.format(routes="")) as first:
        route = await first.logged(re.compile(r"Listening for route connections on (\S+)"))
        routes = f", routes: [nats://{route[1]}]"
        config = "server_name: second\n" + cluster.format(routes=routes)
        async with Broker(tmp_path / "b", jetstream=False, config=config) as second, link_to(first) as link:
            turns = Turns(link)
            async with asyncio.timeout(PATIENCE_S):
                while not link.nc.discovered_servers:
                    await link.flush()
            await first.kill()
            while await turns.next() != "disconnected":
                pass
            assert await turns.next() == "connected"
            assert link.nc.connected_url.port == second.port


@pytest.mark.parametrize("act", ["publish", "subscribe"])
async def test_denied_subject_is_known_by_its_exact_name(tmp_path: Path, act: str) -> None:
    """A permission violation, which the library only whispers to a callback, is remembered with its case."""
    config = (
        'authorization { users: [{user: vm, password: pw, permissions: {pub: "ok.>", sub: ["ok.>", "_INBOX.>"]}}] }'
    )
    async with Broker(tmp_path / "broker", config=config) as broker:
        options = LinkOptions(servers=(broker.url,), user="vm", password="pw")
        async with Link(options) as link:
            if act == "publish":
                await link.publish("weft.status.VM-1", b"{}")
            else:
                await link.subscribe("weft.status.VM-1", Inbox())
            await link.flush()
            assert link.denied_subjects == {"weft.status.VM-1"}


async def test_request_on_a_denied_subject_ends_at_once(tmp_path: Path) -> None:
    """A missing grant is an error that names the subject, not a timeout; so is a foreign inbox."""
    config = (
        'authorization { users: [{user: vm, password: pw, permissions: {pub: "ok.>", sub: ["_INBOX_vm.>", "ok.>"]}}] }'
    )
    async with Broker(tmp_path / "broker", config=config) as broker:
        options = LinkOptions(servers=(broker.url,), user="vm", password="pw", inbox_prefix="_INBOX_vm")
        async with asyncio.timeout(PATIENCE_S), Link(options) as link:
            with pytest.raises(BrokerDeniedError, match=r"'\$JS\.API\.INFO'"):
                await link.request("$JS.API.INFO", timeout_s=600)
        async with Link(LinkOptions(servers=(broker.url,), user="vm", password="pw")) as link:
            await link.subscribe("ok.slow", Inbox())
            with pytest.raises(BrokerDeniedError, match="inbox prefix"):
                await link.request("ok.slow", timeout_s=0.2)


async def test_a_flush_given_up_does_not_deafen_the_link(broker: Broker, link: Link) -> None:
    """Its answer comes when nobody waits for it any more; what comes after it is heard all the same."""
    inbox = Inbox()
    await link.subscribe("weft.live.vm-7", inbox)
    await link.flush()
    broker.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await link.flush()
    broker.thaw()
    await link.publish("weft.live.vm-7", b"still here")
    assert await inbox.next() == b"still here"
    await link.flush()
    assert link.state is LinkState.CONNECTED
