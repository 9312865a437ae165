"""What one sees inside a guest: its mounts, its clients and its agent."""

from __future__ import annotations

from dataclasses import dataclass

from agent.mounts.mountinfo import MountEntry, parse_mountinfo
from tests.guest.nspawn import Guest
from tests.guest.template import AGENT_UNIT


@dataclass(frozen=True, slots=True)
class Serving:
    """
    Who serves what is mounted: the same value before and after means that nothing was remounted.

    Attributes:
        mount_ids: The kernel's ids of the mounts, by mount point.
        clients: Process ids of the FUSE clients.
    """

    mount_ids: dict[str, int]
    clients: frozenset[int]


async def shares_in(guest: Guest) -> tuple[MountEntry, ...]:
    """Return what of weft is mounted, stacked mounts one by one."""
    entries = parse_mountinfo(await guest.run("cat", "/proc/self/mountinfo"))
    return tuple(entry for entry in entries if entry.mount_point.startswith(("/mnt/", "/run/weft/shares/")))


async def serving(guest: Guest) -> Serving:
    """Return who serves the guest's shares; each mount point has one mount, or this fails."""
    entries = await shares_in(guest)
    mount_ids = {entry.mount_point: entry.mount_id for entry in entries}
    assert len(mount_ids) == len(entries), f"mounts are stacked: {entries}"
    code, pids, _ = await guest.attempt("pgrep", "-f", "^[^ ]*rclone mount")
    assert code in (0, 1), code
    return Serving(mount_ids, frozenset(map(int, pids.split())))


async def agent_pid(guest: Guest) -> int:
    """Return the process id of the agent that systemd started."""
    return int(await guest.run("systemctl", "show", "--value", "--property=MainPID", AGENT_UNIT))


async def boot_id(guest: Guest) -> str:
    """Return the id of the current boot."""
    return (await guest.run("cat", "/proc/sys/kernel/random/boot_id")).strip()
