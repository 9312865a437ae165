"""The harness itself: what the other tests take for granted about a guest."""

from __future__ import annotations

import asyncio

import pytest

from tests.guest.fleet import Fleet
from tests.guest.network import OUTSIDE
from tests.guest.nspawn import Guest, GuestCommandError

pytestmark = pytest.mark.integration

KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)"


async def test_a_guest_is_a_machine_of_its_own(bare_fleet: Fleet) -> None:
    """Systemd is its PID 1 and content, it has an id of its own, and a user who is not root."""
    one, two = await bare_fleet.add("one"), await bare_fleet.add("two")
    await asyncio.gather(one.boot(), two.boot())
    assert (await one.run("cat", "/proc/1/comm")).strip() == "systemd"
    assert (await one.run("systemctl", "is-system-running")).strip() == "running"
    assert (await one.run("id", "-un", user="pupil")).strip() == "pupil"
    assert await one.run("cat", "/etc/machine-id") != await two.run("cat", "/etc/machine-id")


async def test_files_and_journal_outlive_reboot_power_cut_and_shutdown(bare_fleet: Fleet) -> None:
    """A guest that starts again is the same guest, and each start is another boot."""
    guest = await bare_fleet.add("one")
    await guest.boot()
    await guest.run("touch", "/root/kept")
    boots = {await _boot_id(guest)}
    await guest.reboot()
    boots.add(await _boot_id(guest))
    await guest.cut_power()
    await guest.boot()
    boots.add(await _boot_id(guest))
    await guest.run("test", "-e", "/root/kept")
    await guest.power_off()
    assert len(boots) == 3
    assert len(guest.journal("--list-boots").splitlines()) == 3


@pytest.mark.parametrize(("cut", "heal"), [("pull", "plug"), ("swallow", "forward")])
async def test_a_cut_guest_reaches_nobody_until_it_is_healed(bare_fleet: Fleet, cut: str, heal: str) -> None:
    """A pulled cable and a silent loss both end what the guest hears, and end themselves."""
    guest = await bare_fleet.add("one")
    await guest.boot()
    listener = await asyncio.start_server(lambda _, writer: writer.close(), str(OUTSIDE.ip), 0)
    knock = ("python3", "-c", KNOCK, *map(str, listener.sockets[0].getsockname()))
    async with listener:
        await guest.run(*knock)
        getattr(guest.port, cut)()
        with pytest.raises(GuestCommandError):
            await guest.run(*knock)
        getattr(guest.port, heal)()
        async with asyncio.timeout(20):
            while (await guest.attempt(*knock))[0] != 0:
                continue  # networkd gives the address back after the link is up


async def _boot_id(guest: Guest) -> str:
    return await guest.run("cat", "/proc/sys/kernel/random/boot_id")
