"""The agent goes and comes back; the mounts do not notice."""

from __future__ import annotations

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import Serving, agent_pid, serving, shares_in
from tests.guest.nspawn import Guest
from tests.guest.outside import FolderServer, Outside, is_mounted
from tests.guest.template import AGENT_UNIT
from tests.parts.shares import bind

pytestmark = pytest.mark.integration

WATCHDOG_DROP_IN = f"/etc/systemd/system/{AGENT_UNIT}.d/watchdog.conf"


async def test_restarting_the_agents_unit_keeps_clients_and_mounts(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """After ``systemctl restart`` another agent looks after the same client and the same mounts."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    before = await _boot_with_shares(guest, outside, folder)
    old_pid = await agent_pid(guest)
    await guest.run("systemctl", "restart", AGENT_UNIT)
    await _until_another_agent_reports(outside, guest, old_pid)
    assert await serving(guest) == before


async def test_a_killed_agent_is_started_again_and_adopts_the_mounts(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Nothing is remounted when the agent dies without a word."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    before = await _boot_with_shares(guest, outside, folder)
    old_pid = await agent_pid(guest)
    await guest.run("kill", "-KILL", str(old_pid))
    await _until_another_agent_reports(outside, guest, old_pid)
    assert await serving(guest) == before


async def test_an_agent_that_hangs_is_replaced_by_the_watchdog(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Systemd kills the silent agent and starts another one; the mounts live on."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    guest.write(WATCHDOG_DROP_IN, "[Service]\nWatchdogSec=2\nTimeoutAbortSec=2\n")
    before = await _boot_with_shares(guest, outside, folder)
    old_pid = await agent_pid(guest)
    await guest.run("kill", "-STOP", str(old_pid))
    await _until_another_agent_reports(outside, guest, old_pid)
    assert await serving(guest) == before
    assert "Watchdog timeout" in guest.journal(f"--unit={AGENT_UNIT}")


async def test_shares_that_the_administrator_unmounted_stay_away_until_resync(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """Not even a restart of the agent brings them back; asking for them does."""
    guest = await fleet.add_member("alpha", outside.broker.url)
    await _boot_with_shares(guest, outside, folder)
    await guest.run("weft-agent", "unmount", "--all")
    await guest.run("systemctl", "restart", AGENT_UNIT)
    assert await shares_in(guest) == ()
    await guest.run("weft-agent", "resync")
    await guest.run("weft-agent", "wait", "lesson")
    await guest.run("weft-agent", "wait", "notes")
    assert {entry.mount_point for entry in await shares_in(guest)} == {"/mnt/lesson", "/mnt/notes"}


async def _boot_with_shares(guest: Guest, outside: Outside, folder: FolderServer) -> Serving:
    guest.write("/srv/notes/note.txt", "remember")
    await guest.boot()
    await outside.plane.publish([folder.share("lesson", "/mnt/lesson"), bind("notes")], vms=[guest.name])
    await outside.converged("lesson")
    await outside.converged("notes")
    before = await serving(guest)
    assert set(before.mount_ids) == {"/mnt/lesson", "/mnt/notes"}
    assert len(before.clients) == 1
    return before


async def _until_another_agent_reports(outside: Outside, guest: Guest, old_pid: int) -> None:
    """Wait until an agent that started later says that the shares are mounted."""
    last = await outside.reports.until(guest.name, lambda status: status.agent is not None)
    assert last.agent is not None
    before = last.agent.started_at
    await outside.reports.until(
        guest.name,
        lambda status: (
            status.agent is not None
            and status.agent.started_at != before
            and is_mounted("lesson")(status)
            and is_mounted("notes")(status)
        ),
    )
    assert await agent_pid(guest) != old_pid
