"""Where the clients that drivers start find their helpers: a PATH of our own, with links in front."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LINKS: Final = "bin"


def build_links(programs: Mapping[str, Path], names: Mapping[str, str]) -> dict[str, str]:
    """
    Return the links for a MountCommand that give a client its helpers by the names it knows.

    Args:
        programs: What the guest has.
        names: What the client asks for → what the guest calls it.
    """
    return {f"{_LINKS}/{wanted}": str(programs[name]) for wanted, name in names.items()}


def build_environment(private_dir: PurePath) -> dict[str, str]:
    """
    Return the whole environment of a client.

    What the agent has in its own must not go further: some clients print theirs when they fail, take flags from it,
    or speak to systemd through NOTIFY_SOCKET.
    """
    return {"PATH": f"{private_dir}/{_LINKS}:{PATH}", "HOME": str(private_dir)}
