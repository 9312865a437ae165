"""Seeing the fleet: what is wanted beside what is there, and following it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import nats
import pytest

from controlplane import ControlPlane
from controlplane.comparison import compare
from controlplane.status_watch import StatusWatch
from controlplane.views import VmView
from tests.integration.plane.guests import Guests
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.parts.reporting import tell
from tests.unit.controlplane.makers import share
from weft.wire.digest import share_digest
from weft.wire.ids import VmId
from weft.wire.status import VmStatus, encode_status

pytestmark = pytest.mark.integration


async def until(watch: StatusWatch, is_reached: Callable[[dict[VmId, VmView]], bool]) -> dict[VmId, VmView]:
    async with asyncio.timeout(20):
        while True:
            views = {view.vm: view for view in watch.views()}
            if is_reached(views):
                return views
            await watch.wait(1.0)


async def test_a_guest_that_has_not_obeyed_yet_shows_what_it_lacks(broker: Broker, plane: ControlPlane) -> None:
    """Its old edition, its missing share, and the digests it should have."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=["vm-1"]), timeout_s=20)
    await plane.publish([share("a", readonly=True), share("b")], vms=["vm-1", "vm-2"])
    view, silent = await plane.status(["vm-1", "vm-2"])
    assert view.is_behind
    assert [(item.share_id, item.bucket, item.departs, item.wanted_digest) for item in compare(view)] == [
        ("a", "waiting", "has another edition mounted", share_digest(share("a", readonly=True))),
        ("b", "waiting", "is not in its report", share_digest(share("b"))),
    ]
    assert [(item.share_id, item.bucket) for item in compare(silent)] == [("a", "silent"), ("b", "silent")]


async def test_a_watch_follows_reports_lists_and_classes(broker: Broker, plane: ControlPlane) -> None:
    """Without asking the broker again for what it hears."""
    await plane.create_class("algebra")
    async with Guests(broker.url), plane.watch_status() as watch:
        assert watch.views() == []
        await plane.add_members("algebra", names(3))
        await plane.publish(share("a"), classes=["algebra"])
        views = await until(
            watch, lambda views: len(views) == 3 and all(v.status and v.classes for v in views.values())
        )
        assert {view.classes for view in views.values()} == {("algebra",)}
        assert not any(view.is_behind or view.problem for view in views.values())
        await plane.unpublish("a")
        await until(watch, lambda views: not any(v.status.shares for v in views.values() if v.status))


async def test_a_watch_goes_on_through_a_restart_of_the_broker(broker: Broker, plane: ControlPlane) -> None:
    """What was reported while nobody could listen is read afterwards."""
    async with plane.watch_status() as watch:
        await broker.restart()
        nc = await nats.connect(broker.url)
        await tell(nc, "weft.status.vm-9", encode_status(VmStatus(vm="vm-9", boot_id="b")))
        await nc.close()
        views = await until(watch, lambda views: "vm-9" in views)
    assert views[VmId("vm-9")].status is not None


async def test_the_command_prints_changes_where_there_is_no_terminal(broker: Broker, plane: ControlPlane) -> None:
    """One line for each, and Ctrl-C ends it at once without a traceback."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=["vm-1"]), timeout_s=20)
        async with weft(broker, "status", "-w") as process:
            assert await line_of(process) == "1 VM: 1 ok"
            await plane.publish(share("b"), vms=["vm-1"])
            seen = ""
            while "vm-1   b   mounted" not in seen:
                seen = await line_of(process)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                _, errors = await process.communicate()
    assert (process.returncode, b"Traceback" in errors) == (130, False)


async def test_the_command_follows_as_records(broker: Broker, plane: ControlPlane) -> None:
    """One object per line, first of every VM, then of each that changed."""
    async with Guests(broker.url):
        await plane.wait(await plane.publish(share("a"), vms=["vm-1"]), timeout_s=20)
        async with weft(broker, "status", "-w", "-o", "json") as process:
            first = json.loads(await line_of(process))
    assert (first["vm"], first["shares"][0]["state"], first["seen"]["state"]) == ("vm-1", "mounted", "ok")


async def test_events_are_followed_as_records(broker: Broker, plane: ControlPlane) -> None:
    """A pipe gets each line as it happens."""
    async with weft(broker, "events", "-f", "-o", "json") as process:
        await plane.create_class("algebra")
        record = json.loads(await line_of(process))
    assert (record["event"], record["by"], record["who"], record["name"]) == (
        "class.create",
        "operator",
        "teacher",
        "algebra",
    )


@contextlib.asynccontextmanager
async def weft(broker: Broker, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run ``weft`` and end it with the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli", *arguments, "--server", broker.url),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode().rstrip()
