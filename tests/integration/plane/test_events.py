"""The audit trail on a real broker: operators' acts and real guests' changes, in order, and followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest

from controlplane import ControlPlane
from controlplane.direct import read_stored
from controlplane.jetstream import ask, purge, stream_facts
from controlplane.trail import TrailEntry
from tests.integration.agent.conftest import directory  # noqa: F401
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.reporting import tell, until_stored
from tests.unit.controlplane.makers import share
from weft.link import LinkOptions
from weft.wire.events import OperatorEvent
from weft.wire.share import ShareMount, parse_share
from weft.wire.subjects import EVENTS_STREAM

pytestmark = pytest.mark.integration


async def kinds(entries: AsyncIterator[TrailEntry]) -> list[str]:
    return [entry.kind async for entry in entries]


async def test_who_published_what_is_kept(plane: ControlPlane) -> None:
    """Each command that changed something left who, what, when and what came of it."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", ["vm-1"])
    await plane.publish(share("a"), classes=["algebra"])
    entries = [entry async for entry in plane.events()]
    assert [entry.kind for entry in entries] == ["class.create", "class.add", "publish"]
    assert [entry.seq for entry in entries] == sorted(entry.seq for entry in entries)
    published = entries[-1].event
    assert isinstance(published, OperatorEvent)
    assert (published.who, published.shares, published.name) == ("teacher", ("a",), "a")
    assert published.vms is not None
    assert published.vms.stored == 1
    assert await kinds(plane.events(share_id="a")) == ["publish"]
    assert await kinds(plane.events(vm="vm-1")) == []


async def test_a_broker_with_passwords_and_one_account_works_as_before(tmp_path: Path) -> None:
    """The name is the login's; nothing keeps its bearer from writing another, so it counts as said, not checked."""
    one = Broker(tmp_path, config='authorization { user: ann, password: "a word" }\n')
    async with one:
        options = LinkOptions(servers=(one.url,), user="ann", password="a word")
        async with ControlPlane.connect(options=options, operator="bob") as plane:
            await plane.init()
            await plane.publish(share("a"), vms=["vm-1"])
            (entry,) = [entry async for entry in plane.events()]
    assert isinstance(entry.event, OperatorEvent)
    assert (entry.checked, entry.event.who) == ("", "ann (for bob)")


async def test_a_stream_without_direct_get_is_read_too(broker: Broker, plane: ControlPlane) -> None:
    """As another program makes one: its leader is asked for one message after the other."""
    await plane.publish(share("a"), vms=["vm-1"])
    await plane.publish(share("b"), vms=["vm-1"])
    facts = await stream_facts(plane.link, EVENTS_STREAM)
    config = {**facts.config, "allow_direct": False, "republish": None}
    await ask(plane.link, f"STREAM.UPDATE.{EVENTS_STREAM}", config)
    assert await kinds(plane.events()) == ["publish", "publish"]
    followed = plane.events(follow=True)
    assert [(await anext(followed)).kind for _ in range(2)] == ["publish", "publish"]
    waiting = asyncio.ensure_future(anext(followed))
    await plane.unpublish("a")
    async with asyncio.timeout(20):
        assert (await waiting).kind == "unpublish"
    await followed.aclose()


async def test_a_reading_ends_though_the_rest_was_removed_meanwhile(broker: Broker, plane: ControlPlane) -> None:
    """What was purged while a portion was looked at is not waited for."""
    for number in range(12):
        await plane.link.publish(f"weft.status.vm-{number}", b"x" * 900_000)
    await until_stored(plane.link, "weft-status", "weft.status.vm-11", b"x" * 900_000)
    reading = read_stored(plane.link, "weft-status", "weft.status.*")
    async with asyncio.timeout(30):
        seen = [(await anext(reading)).subject]
        for number in range(1, 12):
            await purge(plane.link, "weft-status", f"weft.status.vm-{number}")
        seen += [message.subject async for message in reading]
    assert seen[0] == "weft.status.vm-0"
    assert len(seen) < 12


async def test_a_real_guest_tells_every_change(
    broker: Broker,
    plane: ControlPlane,
    directory: Path,  # noqa: F811
) -> None:
    """Start, mount, failure and removal, each once and in order, also what happened while the broker was away."""
    agent = AgentProcess(directory, broker.url)
    async with agent:
        a = bind(agent, "a", str(agent.source("a")))
        await plane.wait(await plane.publish(a, vms=[agent.vm]), timeout_s=20)
        bad = bind(agent, "b", "/proc")
        await plane.wait(await plane.publish(bad, vms=[agent.vm]), timeout_s=20)
        await plane.wait(await plane.unpublish("a"), timeout_s=20)
        seen = await until(plane, agent.vm, "share.gone")
    assert seen[0].kind == "agent.started"
    assert [entry.kind for entry in seen if getattr(entry.event, "share", "") == "a"] == [
        "share.mounting",
        "share.mounted",
        "share.unmounting",
        "share.gone",
    ]
    failed = next(entry.event for entry in seen if entry.kind == "share.failed")
    assert (failed.share, failed.code, failed.vm) == ("b", "denied", agent.vm)  # type: ignore[union-attr]


async def test_following_goes_on_through_a_restart_of_the_broker(broker: Broker, plane: ControlPlane) -> None:
    """Nothing is shown twice, and nothing is left out."""
    await plane.create_class("one")
    followed = plane.events(follow=True)
    assert (await anext(followed)).kind == "class.create"
    waiting = asyncio.ensure_future(anext(followed))
    await broker.restart()
    async with ControlPlane.connect(broker.url) as other:
        await other.create_class("two")
    async with asyncio.timeout(30):
        entry = await waiting
    assert entry.event.name == "two"  # type: ignore[union-attr]
    await followed.aclose()


async def test_only_what_is_recent_enough_is_shown(plane: ControlPlane) -> None:
    """The broker's clock decides."""
    await plane.create_class("one")
    assert await kinds(plane.events(since_s=0)) == []
    assert await kinds(plane.events(since_s=60)) == ["class.create"]


async def test_a_stranger_in_the_stream_is_passed_over(broker: Broker, plane: ControlPlane) -> None:
    """Neither what is no event, nor an event that names another guest than its subject."""
    nc = await nats.connect(broker.url)
    for data in (b"{}", b'{"vm":"vm-2"}'):
        await tell(nc, "weft.events.vm.vm-1.share.failed", data)
    await nc.jetstream().publish("weft.events.op.x", b"?")
    await nc.close()
    assert await kinds(plane.events()) == []


async def test_how_long_events_are_kept_is_chosen_at_init(plane: ControlPlane) -> None:
    """What was chosen once stays, until something else is chosen."""

    async def age_days() -> float:
        return (await stream_facts(plane.link, EVENTS_STREAM)).config["max_age"] / 86400e9  # type: ignore[no-any-return]

    assert await age_days() == 30
    assert (await plane.init(events_age_s=90 * 86400)).upgraded == ("weft-events", "weft-guest-events")
    assert (await plane.init()).upgraded == ()
    assert await age_days() == 90


def bind(agent: AgentProcess, share_id: str, source: str) -> ShareMount:
    return parse_share(
        {"id": share_id, "backend": "bind", "mount_point": str(agent.mounts / share_id), "bind": {"source": source}}
    )


async def until(plane: ControlPlane, vm: str, kind: str) -> list[TrailEntry]:
    """Follow the trail of *vm* until *kind*."""
    seen: list[TrailEntry] = []
    async with asyncio.timeout(20):
        async for entry in plane.events(vm=vm, follow=True):
            seen.append(entry)
            if entry.kind == kind:
                break
    return seen
