"""Brokers that throw guests out or come back to all of them at once, and catalogs and rosters that are gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client

from controlplane import ControlPlane
from tests.faults.conftest import make_stream
from tests.faults.guest import FaultyGuest
from tests.faults.timings import Timings
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.identities import Identities
from weft.errors import CatalogBehindError, RosterError
from weft.link import Link, LinkOptions

pytestmark = pytest.mark.integration

GUESTS = 60


@pytest.fixture
async def identities(tmp_path: Path) -> Identities:
    """An operator's identities."""
    return Identities()


@pytest.fixture
async def strict_broker(identities: Identities, tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker that lets in only who has credentials of the operator."""
    async with Broker(tmp_path / "strict-broker", config=identities.config()) as running:
        yield running


@pytest.fixture
async def operator(identities: Identities, strict_broker: Broker, tmp_path: Path) -> AsyncIterator[Client]:
    """The operator's connection to it."""
    path = tmp_path / "operator.creds"
    path.write_text(identities.credentials("operator"))
    client = await nats.connect(strict_broker.url, user_credentials=path)
    await make_stream(client)
    yield client
    await client.close()


async def test_f36_guest_whose_credentials_expired_returns_with_those_now_on_disk(
    identities: Identities, strict_broker: Broker, operator: Client, directory: Path, timings: Timings
) -> None:
    """Mounts stay meanwhile, and what was published meanwhile is obeyed."""
    creds = directory / "guest.creds"
    creds.write_text(identities.credentials(lifetime_s=4))
    creds.chmod(0o600)
    guest = FaultyGuest(AgentProcess(directory, strict_broker.url, arguments=("--creds", str(creds))), operator)
    async with guest.agent:
        await guest.settle(guest.rclone("a"))
        pid = guest.pid_of("a")
        await guest.logged("stream.disconnected")
        timings.injected()
        status = await guest.agent.until(lambda status: status["mode"] == "offline")
        timings.detected()
        assert [share["state"] for share in status["shares"]] == ["mounted"]
        await guest.publish(guest.rclone("a"), guest.rclone("b"))
        creds.write_text(identities.credentials())
        await guest.until_mounted("a", "b")
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


class Turnstile:
    """Where the broker was: whoever knocks is noted and turned away."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.knocked_s: list[float] = []
        self._knocked = asyncio.Event()

    async def until(self, knocks: int) -> None:
        """Wait until so many have knocked."""
        async with asyncio.timeout(20):
            while len(self.knocked_s) < knocks:
                self._knocked.clear()
                await self._knocked.wait()

    async def __aenter__(self) -> Turnstile:
        self._server = await asyncio.start_server(self._turn_away, self._broker.host, self._broker.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _turn_away(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.knocked_s.append(time.monotonic())
        self._knocked.set()
        writer.close()


async def test_f37_guests_do_not_come_back_to_their_broker_in_step(broker: Broker, timings: Timings) -> None:
    """All lose it in the same instant, and no tenth of a second sees half of them."""
    async with AsyncExitStack() as stack:
        links = [Link(LinkOptions(servers=(broker.url,), name=f"guest-{number}")) for number in range(GUESTS)]
        await asyncio.gather(*(stack.enter_async_context(link) for link in links))
        await broker.kill()
        async with Turnstile(broker) as turnstile:
            await turnstile.until(3 * GUESTS)
            began_s = turnstile.knocked_s[0]
            in_tenths = [0] * 200
            for at_s in turnstile.knocked_s:
                in_tenths[int((at_s - began_s) * 10)] += 1
            assert max(in_tenths) < GUESTS / 2
            assert sum(count > 0 for count in in_tenths) >= 5
        timings.injected()
        await broker.start()
        await asyncio.gather(*(link.wait_connected(20) for link in links))
        timings.repaired()


class Roster:
    """A roster whose source may fail, or forget."""

    def __init__(self, *vms: str) -> None:
        self.vms = vms
        self.is_failing = False

    async def classes(self) -> Collection[str]:
        """Name every class."""
        return ["algebra"]

    async def members(self, name: str) -> Collection[str]:
        """List the members, or fail."""
        if self.is_failing:
            raise OSError("the school's directory does not answer")
        return self.vms


async def test_f45_nothing_is_unmounted_because_a_catalog_or_roster_is_gone(
    guest: FaultyGuest, broker: Broker, timings: Timings
) -> None:
    """A failing roster, an empty one, and a catalog that was made again are each refused; the guest keeps its share."""
    roster = Roster(guest.agent.vm)
    async with ControlPlane.connect(broker.url, roster=roster) as plane, guest.agent:
        await plane.init()
        await plane.publish(guest.rclone("a"), classes=["algebra"])
        await guest.until_mounted("a")
        pid = guest.pid_of("a")
        timings.injected()
        roster.is_failing = True
        with pytest.raises(RosterError, match="directory does not answer"):
            await plane.sync()
        roster.is_failing, roster.vms = False, ()
        with pytest.raises(RosterError, match="algebra"):
            await plane.sync()
        roster.vms = (guest.agent.vm,)
        await guest.nc.jetstream().delete_stream("KV_weft-catalog")
        await plane.init()
        with pytest.raises(CatalogBehindError, match="weft recover"):
            await plane.sync(assume_yes=True)
        timings.detected()
        await guest.agent.ask("resync")
        await guest.until_mounted("a")
        assert guest.pid_of("a") == pid
        await guest.agent.ask("unmount", all=True)
