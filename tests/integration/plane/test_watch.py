"""The watch: rosters, expiry and rollouts without an operator, and what it will not do unasked."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.auth.roles import Role
from controlplane.records import RolloutState
from controlplane.rollout import Pacing
from controlplane.rosters import FileRoster
from controlplane.watch import News, NewsKind, Watch
from tests.integration.plane.guests import Guests
from tests.integration.plane.stored import count_stored, stored_set, stored_sets
from tests.integration.plane.test_rollout import CLASS, NEW, OLD, ORDER, with_new
from tests.parts.broker import Broker
from tests.parts.realm import Realm
from tests.parts.watch_process import WatchProcess
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0
INTERVAL_S = 0.2


class Register:
    """A roster that lives elsewhere, and may be unreachable."""

    def __init__(self, *vms: str) -> None:
        self.vms: Collection[str] = vms
        self.is_reachable = True

    async def classes(self) -> Collection[str]:
        return ["algebra"]

    async def members(self, name: str) -> Collection[str]:
        if not self.is_reachable:
            raise ConnectionError("no route to the register")
        return self.vms


class Heard:
    """What a watch told, in order."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self._more = asyncio.Event()

    def tell(self, news: News) -> None:
        self.news.append(news)
        self._more.set()

    async def until(self, kind: NewsKind, text: str = "") -> News:
        """Wait until it told something of this kind that holds *text*."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                self._more.clear()
                for news in self.news:
                    if news.kind is kind and text in news.text:
                        return news
                await self._more.wait()


@asynccontextmanager
async def watching(plane: ControlPlane, **options: float) -> AsyncIterator[Heard]:
    heard = Heard()
    ready = asyncio.Event()
    watch = Watch(plane, on_news=heard.tell, **{"interval_s": INTERVAL_S, **options})
    task = asyncio.create_task(watch.run(on_ready=ready.set))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def register() -> Register:
    """Twenty VMs in a class that is kept elsewhere."""
    return Register(*CLASS)


@pytest.fixture
async def plane_of_register(broker: Broker, plane: ControlPlane, register: Register) -> AsyncIterator[ControlPlane]:
    """A control plane that asks the register, with a share for its class."""
    async with ControlPlane.connect(broker.url, roster=register) as connected:
        await connected.publish(OLD, classes=["algebra"])
        yield connected


async def test_who_joins_elsewhere_gets_the_shares(
    broker: Broker, plane_of_register: ControlPlane, register: Register
) -> None:
    """The register is asked again at an interval; one who leaves loses them."""
    async with watching(plane_of_register) as heard:
        register.vms = [*CLASS[1:], "newcomer"]
        await heard.until(NewsKind.REPAIRED, "2 VMs")
    joined, left = await stored_set(broker, "newcomer"), await stored_set(broker, CLASS[0])
    assert joined is not None
    assert left is not None
    assert ([item.id for item in joined.shares], list(left.shares)) == (["a"], [])


async def test_a_register_that_lost_many_is_reported_not_obeyed(
    broker: Broker, plane_of_register: ControlPlane, register: Register
) -> None:
    """Nothing is stored until it is itself again, not even what would be harmless."""
    stored = await count_stored(broker)
    async with watching(plane_of_register) as heard:
        register.vms = [*CLASS[:10], "newcomer"]
        held = await heard.until(NewsKind.HELD)
        assert "from 10 of 2" in held.text
        assert await count_stored(broker) == stored
        register.vms = CLASS
        await heard.until(NewsKind.RESUMED)
    assert await count_stored(broker) == stored


async def test_an_unreachable_register_is_no_empty_class(
    broker: Broker, plane_of_register: ControlPlane, register: Register
) -> None:
    """It is told once, and tried again."""
    stored = await count_stored(broker)
    register.is_reachable = False
    async with watching(plane_of_register) as heard:
        await heard.until(NewsKind.FAILED, "no route to the register")
        register.is_reachable = True
        await heard.until(NewsKind.RESUMED)
    assert [news.kind for news in heard.news] == [NewsKind.FAILED, NewsKind.RESUMED]
    assert await count_stored(broker) == stored


async def test_a_lost_message_is_stored_again(broker: Broker, plane: ControlPlane) -> None:
    """Without anybody typing sync."""
    await plane.publish(share("b"), vms=["vm-1"])
    async with watching(plane) as heard:
        await plane.link.nc.jetstream().purge_stream("weft-mounts", subject="weft.mounts.vm-1")
        await heard.until(NewsKind.REPAIRED, "1 VM ")
    message = await stored_set(broker, "vm-1")
    assert message is not None
    assert [item.id for item in message.shares] == ["b"]


async def test_an_expired_share_is_dropped_after_a_while(broker: Broker, plane: ControlPlane) -> None:
    """One that is over but still kept, and one that never ends, stay."""
    now = datetime.now(UTC)
    await plane.publish(share("over", expires_at=(now - timedelta(hours=2)).isoformat()), vms=CLASS)
    await plane.publish(share("kept", expires_at=(now - timedelta(minutes=1)).isoformat()), vms=CLASS)
    await plane.publish(share("always"), vms=CLASS)
    async with watching(plane, kept_s=3600) as heard:
        await heard.until(NewsKind.DROPPED, "expired: over")
    assert [record.share.id for record in await plane.shares()] == ["always", "kept"]
    sets = await stored_sets(broker)
    assert all([item.id for item in message.shares] == ["always", "kept"] for message in sets.values())


async def test_a_share_is_dropped_when_its_time_comes(broker: Broker, plane: ControlPlane) -> None:
    """The watch knows when that is; it need not be told, and its interval may be long."""
    soon = datetime.now(UTC) + timedelta(seconds=2)
    await plane.publish(share("brief", expires_at=soon.isoformat()), vms=["vm-1"])
    async with watching(plane, kept_s=0, interval_s=600) as heard:
        await heard.until(NewsKind.DROPPED, "brief")
    assert await plane.shares() == []


async def test_sync_by_hand_drops_what_is_over_too(broker: Broker, plane: ControlPlane) -> None:
    """Where no watch runs."""
    await plane.publish(share("over", expires_at="2026-01-01T00:00:00Z"), vms=["vm-1"])
    await plane.sync()
    message = await stored_set(broker, "vm-1")
    assert (await plane.shares(), list(message.shares) if message is not None else None) == ([], [])


@pytest.fixture
async def class_of_20(plane: ControlPlane) -> ControlPlane:
    """A class of the catalog of which everybody has the old edition."""
    await plane.create_class("algebra")
    await plane.add_members("algebra", CLASS)
    await plane.publish(OLD, classes=["algebra"])
    return plane


async def test_a_watch_takes_a_rollout_to_its_end(broker: Broker, class_of_20: ControlPlane) -> None:
    """The operator published the first wave and went home; two watches are no worse than one."""
    async with (
        Guests(broker.url),
        ControlPlane.connect(broker.url) as one,
        ControlPlane.connect(broker.url) as other,
        watching(one) as heard,
        watching(other) as heard_too,
    ):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10, 50), canary=1))
        stored = await count_stored(broker)
        ends = [asyncio.create_task(each.until(NewsKind.ROLLOUT, "a: done")) for each in (heard, heard_too)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    assert await with_new(broker) == set(CLASS)
    assert await count_stored(broker) == stored + len(CLASS) - 1


async def test_a_watch_leaves_a_paused_rollout_alone(broker: Broker, class_of_20: ControlPlane) -> None:
    """Until somebody resumes it."""
    async with Guests(broker.url):
        await class_of_20.publish(NEW, pacing=Pacing(waves=(10,)))
        await class_of_20.pause_rollout("a")
        async with watching(class_of_20) as heard:
            await heard.until(NewsKind.ROLLOUT, "paused at wave 1 of 2 (10%)")
            assert await with_new(broker) == set(ORDER[:2])
            await class_of_20.resume_rollout("a")
            await heard.until(NewsKind.ROLLOUT, "a: done")
    assert await with_new(broker) == set(CLASS)


async def test_a_watch_hears_changes_with_no_more_than_an_operators_rights(tmp_path: Path) -> None:
    """What somebody else stores is noticed at once, however long the interval; nothing it asks for is denied."""
    realm = Realm(tmp_path)
    async with (
        realm.broker,
        ControlPlane.connect(options=realm.options(Role.ADMIN, "root")) as root,
        ControlPlane.connect(options=realm.options(Role.OPERATOR, "ann")) as ann,
        ControlPlane.connect(options=realm.options(Role.OPERATOR, "watch")) as watcher,
    ):
        await root.init()
        async with watching(watcher, interval_s=600) as heard:
            await ann.publish(NEW, vms=CLASS, pacing=Pacing(waves=(10,)))
            await heard.until(NewsKind.ROLLOUT, "running at wave 1 of 2")
            await ann.pause_rollout("a")
            await heard.until(NewsKind.ROLLOUT, "paused")
        assert watcher.link.denied_subjects == frozenset()


async def test_a_watch_survives_a_restart_of_the_broker(broker: Broker, plane: ControlPlane) -> None:
    """It says that it was away, and goes on."""
    await plane.publish(share("b"), vms=["vm-1"])
    async with watching(plane) as heard:
        await broker.kill()
        await heard.until(NewsKind.FAILED)
        await broker.start()
        await heard.until(NewsKind.RESUMED)


async def test_the_command_says_ready_and_ends_promptly(broker: Broker, plane: ControlPlane) -> None:
    """As systemd wants it."""
    async with WatchProcess(broker.url) as process:
        async with asyncio.timeout(2):
            assert await process.stop() == 0
    assert process.notified[0] == "READY=1"
    assert "STOPPING=1" in process.notified


async def test_the_command_reads_a_roster_file_again(broker: Broker, plane: ControlPlane, tmp_path: Path) -> None:
    """Whoever edits the file needs no weft command."""
    roster = tmp_path / "classes.json"
    roster.write_text(json.dumps({"algebra": CLASS}))
    async with ControlPlane.connect(broker.url, roster=FileRoster(roster)) as teacher:
        await teacher.publish(OLD, classes=["algebra"])
    async with WatchProcess(broker.url, "--roster", str(roster), "--interval", "200ms") as process:
        roster.write_text(json.dumps({"algebra": [*CLASS, "newcomer"]}))
        await process.until_line("brought 1 VM up to date")
    joined = await stored_set(broker, "newcomer")
    assert joined is not None
    assert [item.id for item in joined.shares] == ["a"]


async def test_a_killed_watch_goes_on_where_it_was(broker: Broker, class_of_20: ControlPlane) -> None:
    """The next process finds in the catalog how far the rollout is."""
    await class_of_20.publish(NEW, pacing=Pacing(waves=(10, 50)))
    async with WatchProcess(broker.url) as process:
        await process.until_line("running at wave 1 of 3")
        await process.stop(signal.SIGKILL)
    async with Guests(broker.url), WatchProcess(broker.url) as process:
        await class_of_20.refresh("a")  # these guests heard nothing so far
        await process.until_line("a: done")
    assert await with_new(broker) == set(CLASS)
    assert (await class_of_20.share("a")).rollout is not None
    assert (await class_of_20.rollout("a")).rollout.state is RolloutState.DONE
