"""What a machine must have before the demonstration can begin, each lack as a sentence that says what to install."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from controlplane.programs import find_program
from weft.distribution import install_command

FUSE_DEVICE = Path("/dev/fuse")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where guests look beside PATH."""


def find_lacks() -> list[str]:
    """Name everything that is missing here; empty where the demonstration can begin."""
    lacks = []
    if os.geteuid() != 0:
        lacks.append("cannot run the demo: mounting needs root (sudo weft demo)")
    if not FUSE_DEVICE.is_char_device():
        lacks.append(f"cannot run the demo: {FUSE_DEVICE} is missing (modprobe fuse; a container must be given it)")
    if shutil.which("fusermount3", path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}") is None:
        lacks.append("cannot run the demo: fusermount3 is not installed (apt-get install fuse3)")
    if find_program("rclone") is None:
        lacks.append(f"cannot run the demo: rclone is not installed ({install_command('rclone')})")
    if find_program("nats-server") is None:
        lacks.append(f"cannot run the demo: nats-server is not installed ({install_command('operator')})")
    return lacks
