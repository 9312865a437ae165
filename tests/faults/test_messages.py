"""Messages that are old, forged, malformed, gone, or in the way of a repair; and clocks that are wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from controlplane import ControlPlane
from tests.faults.conftest import make_stream
from tests.faults.guest import FaultyGuest, states_of
from tests.faults.timings import Timings
from tests.parts.broker import Broker
from tests.parts.shares import encoded_set
from tests.parts.told_guest import ToldGuest
from weft.wire.subjects import MOUNTS_STREAM, live_subject, subject

pytestmark = pytest.mark.integration

RACES = 4


async def test_f25_repair_that_races_with_a_new_spec_ends_in_the_new_spec(guest: FaultyGuest, timings: Timings) -> None:
    """Once, under one client; and a share that is withdrawn while it is repaired does not come back."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"))
        timings.injected()
        for race in range(RACES):
            guest.kill_client("a")
            await guest.settle(guest.rclone("a", readonly=race % 2 == 0))
            assert len(guest.entries_at("a")) == 1
            assert ("ro" in guest.entries_at("a")[0].options) == (race % 2 == 0)
        guest.kill_client("a")
        await guest.settle()
        timings.repaired()
        assert guest.entries_at("a") == ()
        assert list(guest.agent.mounts.iterdir()) == []


async def test_f34_recreated_stream_with_lower_sequences_is_followed(guest: FaultyGuest, timings: Timings) -> None:
    """The revision decides."""
    async with guest.agent:
        for _ in range(3):
            await guest.settle(guest.rclone("a"))
        pid = guest.pid_of("a")
        await guest.nc.jetstream().delete_stream(MOUNTS_STREAM)
        await make_stream(guest.nc)
        timings.injected()
        await guest.settle(guest.rclone("a"), guest.rclone("b"))
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


async def test_f35_nothing_in_the_stream_is_no_order(guest: FaultyGuest, timings: Timings) -> None:
    """Not a purged subject, a delete marker, or a deleted stream; also not for an agent that starts then."""
    stream = guest.nc.jetstream()
    async with guest.agent:
        await guest.settle(guest.rclone("a"))
        pid = guest.pid_of("a")
        timings.injected()
        await stream.purge_stream(MOUNTS_STREAM)
        await guest.agent.ask("resync")
        await stream.publish(subject(guest.agent.vm), b"", headers={"Nats-Marker-Reason": "MaxAge"})
        await guest.agent.until(lambda status: "problem" in status)
        await stream.delete_stream(MOUNTS_STREAM)
        answer = await guest.agent.ask("resync")
        assert "weft init" in answer["problem"]
        timings.detected()
        await guest.agent.stop()
        await guest.agent.start()
        await guest.agent.ask("resync")
        await guest.until_mounted("a")
        assert guest.pid_of("a") == pid
        await make_stream(guest.nc)
        await guest.settle(guest.rclone("a"), guest.rclone("b"))
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


async def test_f40_foreign_old_and_forged_states_are_refused_and_reported(guest: FaultyGuest, timings: Timings) -> None:
    """Another VM's list, an older one, one from the future, and a live copy that the stream does not have."""
    share = guest.rclone("a")
    async with guest.agent:
        await guest.settle(share)
        await guest.settle(share)
        pid, vm = guest.pid_of("a"), guest.agent.vm
        timings.injected()
        for data, words in (
            (encoded_set(9, vm="vm-8"), "it is for VM 'vm-8'"),
            (encoded_set(1, vm=vm), "revision 1"),
            (encoded_set(int(time.time() * 1000) + 2 * 86_400_000, vm=vm), "a day ahead"),
            (encoded_set(2, vm=vm), "other content"),
        ):
            await guest.store(data)
            await guest.agent.until(lambda status, words=words: words in status.get("problem", {}).get("message", ""))
            timings.detected()
        await guest.nc.publish(live_subject(guest.agent.vm), encoded_set(99, vm=vm))
        await guest.nc.flush()
        await guest.agent.ask("resync")
        assert states_of(await guest.agent.status()) == {"a": "mounted"}
        assert guest.pid_of("a") == pid
        await guest.settle(share, guest.rclone("b"))
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{", id="no JSON"),
        pytest.param(b'{"vm":"vm-7","revision":5,"shares":null}', id="no list"),
        pytest.param(b'{"vm":"vm-7","revision":"5","shares":[]}', id="no number"),
        pytest.param(b"[" * 100_000, id="too deep"),
    ],
)
async def test_f41_malformed_message_changes_nothing_and_is_reported(
    guest: FaultyGuest, timings: Timings, data: bytes
) -> None:
    """Neither while it arrives nor when an agent starts with it; the next good one is obeyed."""
    async with guest.agent:
        await guest.settle(guest.rclone("a"))
        pid = guest.pid_of("a")
        timings.injected()
        await guest.store(data)
        await guest.agent.until(lambda status: "problem" in status)
        timings.detected()
        await guest.agent.stop()
        await guest.agent.start()
        await guest.agent.until(lambda status: "problem" in status and states_of(status) == {"a": "mounted"})
        assert guest.pid_of("a") == pid
        await guest.settle(guest.rclone("a"), guest.bind("b"))
        timings.repaired()
        assert guest.pid_of("a") == pid
        await guest.settle()


SHIFTED_CLOCK = """
import time
from pathlib import Path

_time, _time_ns, _offset = time.time, time.time_ns, Path(__file__).with_name("offset_s")
time.time = lambda: _time() + int(_offset.read_text())
time.time_ns = lambda: _time_ns() + int(_offset.read_text()) * 10**9
"""
DAYS_S = 3 * 86_400


def shift_clock(directory: Path, offset_s: int) -> Path:
    """Have the guest's wall clock go wrong by so much, now and at the next start."""
    directory.mkdir(exist_ok=True)
    (directory / "offset_s").write_text(str(offset_s))
    (directory / "sitecustomize.py").write_text(SHIFTED_CLOCK)
    return directory


async def test_f42_clock_jumps_suspends_and_clones_cost_no_mount_and_are_told(
    guest: FaultyGuest, broker: Broker, tmp_path: Path, timings: Timings
) -> None:
    """The broker's time counts beside the guest's; a guest that slept catches up; two guests with one id are named."""
    clock = shift_clock(tmp_path / "clock", -DAYS_S)
    guest.agent.python_path = f"{clock}{os.pathsep}{guest.agent.python_path}"
    async with ControlPlane.connect(broker.url) as plane, guest.agent:
        await plane.init()
        guest.revision = int(time.time() * 1000)
        await guest.settle(guest.rclone("a"))
        pid = guest.pid_of("a")
        for offset_s in (DAYS_S, -DAYS_S, 0):
            shift_clock(clock, offset_s)
            await guest.settle(guest.rclone("a"))
        os.kill(guest.agent.pid, signal.SIGSTOP)
        await guest.publish(guest.rclone("a"), guest.rclone("b"))
        timings.injected()
        os.kill(guest.agent.pid, signal.SIGCONT)
        await guest.until_mounted("a", "b")
        timings.repaired()
        assert guest.pid_of("a") == pid
        async with ToldGuest(broker.url, guest.agent.vm):
            timings.injected()
            await guest.publish(guest.rclone("a"))
            async with asyncio.timeout(10):
                while not (claimants := (await plane.status([guest.agent.vm]))[0].claimants):
                    await guest.settle(guest.rclone("a"), guest.bind("c"))
                    await guest.settle(guest.rclone("a"))
            timings.detected()
        assert set(claimants) == {f"boot-{guest.agent.vm}", (await guest.agent.status())["boot_id"]}
        assert guest.pid_of("a") == pid
        await guest.settle()
