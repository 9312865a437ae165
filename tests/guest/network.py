"""The guests' network: one bridge in the test run's own namespace, a port per guest, and the ways to cut it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Interface

BRIDGE = "guests0"
OUTSIDE = IPv4Interface("10.77.0.1/24")
"""The test run's address, where brokers and servers listen; it collides with nothing in a namespace of our own."""

_DISABLED, _FORWARDING = "0", "3"


def make_bridge() -> None:
    """Make the bridge that guests are plugged into, and the loopback; only in a namespace without other interfaces."""
    others = [line for line in _ip("-brief", "link").splitlines() if not line.startswith("lo ")]
    assert not others, f"this is not a network namespace of our own: {others}"
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", str(OUTSIDE), "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")


def remove_bridge() -> None:
    """Remove it; ports that are still plugged in are unplugged."""
    _ip("link", "delete", BRIDGE)


def guest_address(number: int) -> IPv4Interface:
    """Give guest *number* (1, 2, …) its address."""
    return IPv4Interface(f"{OUTSIDE.network[1 + number]}/{OUTSIDE.network.prefixlen}")


def network_unit(address: IPv4Interface) -> str:
    """Build what networkd in a guest needs; it gives the address back by itself after a pulled cable."""
    return (
        "[Match]\nName=host0\n\n"
        f"[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nLLDP=no\nEmitLLDP=no\n"
    )


@dataclass(frozen=True, slots=True)
class Port:
    """The outer end of a guest's cable; it exists while the guest runs."""

    interface: str

    def pull(self) -> None:
        """Pull the cable: the guest sees that its link is gone."""
        _ip("link", "set", self.interface, "down")

    def plug(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.interface, "up")

    def swallow(self) -> None:
        """Let every packet vanish silently: the guest's link stays up, and nobody answers."""
        _run("bridge", "link", "set", "dev", self.interface, "state", _DISABLED)

    def forward(self) -> None:
        """Let packets through again."""
        _run("bridge", "link", "set", "dev", self.interface, "state", _FORWARDING)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout
