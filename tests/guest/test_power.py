"""A guest reboots, loses its power, and shuts down, whatever its shares do."""

from __future__ import annotations

import json

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import boot_id, serving
from tests.guest.nspawn import Guest, GuestCommandError
from tests.guest.outside import FolderServer, Outside, is_mounted
from tests.guest.template import AGENT_UNIT, SHARES_UNIT
from tests.parts.shares import bind

pytestmark = pytest.mark.integration

SHUTDOWN_S = 60.0
STUCK_S = 2.0
LESSON = "/mnt/lesson/lesson.txt"


async def test_shares_are_back_after_a_reboot(fleet: Fleet, outside: Outside, folder: FolderServer) -> None:
    """A guest that reboots comes back with its shares."""
    guest = await _member_with_lesson(fleet, outside, folder)
    await guest.reboot()
    await outside.reports.until("alpha", is_mounted("lesson", boot_id=await boot_id(guest)))
    assert await guest.run("cat", LESSON) == "read me"


async def test_shares_are_back_after_a_reboot_without_a_broker(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """The guest mounts from its ledger, and is heard of again when the broker is back."""
    guest = await _member_with_lesson(fleet, outside, folder)
    await outside.broker.stop()
    await guest.reboot()
    await guest.run("weft-agent", "wait", "lesson")
    assert await guest.run("cat", LESSON) == "read me"
    before = await serving(guest)
    await outside.broker.start()
    await outside.reports.until("alpha", is_mounted("lesson", boot_id=await boot_id(guest)))
    assert await serving(guest) == before


async def test_shares_are_back_after_a_power_cut(fleet: Fleet, outside: Outside, folder: FolderServer) -> None:
    """A guest that had no time to say goodbye comes back with its shares."""
    guest = await _member_with_lesson(fleet, outside, folder)
    await guest.cut_power()
    await guest.boot()
    await outside.reports.until("alpha", is_mounted("lesson", boot_id=await boot_id(guest)))
    assert await guest.run("cat", LESSON) == "read me"


async def test_shares_are_unmounted_in_order_at_shutdown(fleet: Fleet, outside: Outside, folder: FolderServer) -> None:
    """Children go before their parents, and what a user wrote last is on the server when the guest is off."""
    guest = await _member_with_lesson(fleet, outside, folder)
    await outside.converge(bind("notes", "/mnt/lesson/notes", source="/media"), "alpha")
    await guest.run("sh", "-c", "echo done >/mnt/lesson/answer.txt", user="pupil")
    await guest.power_off(deadline_s=SHUTDOWN_S)
    assert (folder.root / "answer.txt").read_text() == "done\n"
    assert _unmounted_at_shutdown(guest) == ["notes", "lesson"]


async def test_a_share_whose_server_hangs_does_not_hold_up_the_shutdown(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """With a reader stuck in a share whose server is frozen, the guest is off in bounded time."""
    guest = await _member_with_lesson(fleet, outside, folder)
    folder.suspend()
    await _get_stuck(guest)
    await guest.power_off(deadline_s=SHUTDOWN_S)
    assert _unmounted_at_shutdown(guest) == ["lesson"]


async def test_a_share_whose_client_hangs_does_not_hold_up_the_shutdown(
    fleet: Fleet, outside: Outside, folder: FolderServer
) -> None:
    """With a reader stuck in a share whose client is stopped, the guest is off in bounded time."""
    guest = await _member_with_lesson(fleet, outside, folder)
    (client,) = (await serving(guest)).clients
    await guest.run("kill", "-STOP", str(client))
    await _get_stuck(guest)
    await guest.power_off(deadline_s=SHUTDOWN_S)
    assert _unmounted_at_shutdown(guest) == ["lesson"]


async def _member_with_lesson(fleet: Fleet, outside: Outside, folder: FolderServer) -> Guest:
    guest = await fleet.add_member("alpha", outside.broker.url)
    await guest.boot()
    await outside.converge(folder.share("lesson", "/mnt/lesson"), "alpha")
    return guest


async def _get_stuck(guest: Guest) -> None:
    """Let a user read from a share that does not answer, and wait for ever as users do."""
    with pytest.raises(GuestCommandError):
        await guest.run("cat", LESSON, user="pupil", deadline_s=STUCK_S)
    assert (await guest.run("pgrep", "--exact", "-u", "pupil", "cat")).strip()


def _unmounted_at_shutdown(guest: Guest) -> list[str]:
    """Return the shares that the agent unmounted for the unit that asked it to, in the order in which it did."""
    asked_by = guest.journal(f"--unit={SHARES_UNIT}", "--output=cat")
    events = [
        json.loads(line) for line in guest.journal(f"--unit={AGENT_UNIT}", "--output=cat", "--grep=^{").splitlines()
    ]
    gone = [event["share"] for event in events if event["event"] == "unmount.applied"]
    in_order = list(dict.fromkeys(gone))
    assert all(f"{share}: unmounted" in asked_by for share in in_order), asked_by
    return in_order
