"""Who this guest is: its VM id, its boot and its host name."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from weft.errors import ConfigError, SubjectError
from weft.wire.ids import VmId, parse_vm_id

AUTO = "auto"
PRODUCT_UUID = Path("sys/class/dmi/id/product_uuid")
MACHINE_ID = Path("etc/machine-id")
BOOT_ID = Path("proc/sys/kernel/random/boot_id")
_MEANINGLESS = frozenset(
    {"", "uninitialized", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"}
)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What the guest calls itself.

    Attributes:
        vm: Its VM id.
        taken_from: Where that came from, for people.
        hostname: Its own host name.
        boot_id: The kernel's id of this boot.
    """

    vm: VmId
    taken_from: str
    hostname: str
    boot_id: str


def find_identity(vm: str, *, root: Path = Path("/")) -> Identity:
    """
    Find out who this guest is.

    Args:
        vm: A VM id, or ``auto`` for the SMBIOS product UUID, else the machine id.
        root: Where the file system begins, for tests.

    Raises:
        ConfigError: *vm* is no VM id, or ``auto`` finds none.
    """
    found, taken_from = (vm, "configuration") if vm != AUTO else _find_automatic(root)
    try:
        parsed = parse_vm_id(found)
    except SubjectError as exc:
        raise ConfigError([f"vm: {exc}"]) from exc
    boot_id = _first_line(root / BOOT_ID)
    return Identity(parsed, taken_from, socket.gethostname(), boot_id)


def _find_automatic(root: Path) -> tuple[str, str]:
    for path, name in ((PRODUCT_UUID, "SMBIOS product UUID"), (MACHINE_ID, "machine-id")):
        text = _first_line(root / path).lower()
        if text not in _MEANINGLESS:
            return text, name
    tried = " and ".join(os.path.join("/", path) for path in (PRODUCT_UUID, MACHINE_ID))
    raise ConfigError([f"vm: cannot find an id for this guest in {tried}; give one with --vm"])


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""
