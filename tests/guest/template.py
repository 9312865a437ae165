"""The template that guests are cloned from: a bare Debian guest in which an operator installed weft."""

from __future__ import annotations

from pathlib import Path

from tests.guest.nspawn import Guest

WHEELS = "/media/wheels"
"""Where the guest finds the wheels."""
INSTALL_S = 120.0
AGENT_UNIT = "weft-agent.service"
SHARES_UNIT = "weft-shares.service"
CONFIG = "/etc/weft/agent.toml"


async def install(guest: Guest) -> None:
    """Do in a running bare guest what ``weft enroll`` has done there; the wheels are shown to it."""
    await guest.run("python3", "-m", "venv", "/opt/weft", deadline_s=INSTALL_S)
    await pip_install(guest, "weft-mounts[rclone]")
    await guest.run("/opt/weft/bin/weft-agent", "install")
    await guest.run("systemctl", "enable", "--now", AGENT_UNIT, SHARES_UNIT)


async def pip_install(guest: Guest, *packages: str) -> None:
    """Install wheels that the guest is shown, in weft's environment."""
    pip = ("/opt/weft/bin/pip", "install", "--quiet", "--no-index", f"--find-links={WHEELS}")
    await guest.run(*pip, *packages, deadline_s=INSTALL_S)


async def seal(guest: Guest) -> Path:
    """
    Make a template of an installed guest: without identity and state, and off.

    Returns:
        The layer that holds weft.
    """
    await guest.run("systemctl", "stop", SHARES_UNIT, AGENT_UNIT)
    await guest.power_off()
    for state in (guest.root / "var/lib/weft", guest.root / "var/log/journal"):
        _empty(state)
    guest.write("/etc/machine-id", "")
    return guest.own_files


def agent_config(vm: str, broker_url: str) -> str:
    """Build what the guest's configuration says: who it is and where the broker is."""
    return f'vm = "{vm}"\nnats = ["{broker_url}"]\n'


def _empty(directory: Path) -> None:
    for path in sorted(directory.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
