"""The root file system that every guest starts from: made once per recipe, then only read."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "python3",
    "python3-venv",
    "fuse3",
    "iproute2",
    "procps",
)
NETWORK_UNIT = "etc/systemd/network/10-guest.network"
CUSTOMISATION = Path(__file__).with_name("customise-rootfs.sh")


def cache_directory() -> Path:
    """Return where prepared things are kept between runs; the checkout's own ``.cache`` unless XDG says otherwise."""
    beside = Path(__file__).parents[2] / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME", beside)) / "weft-guest"


def rootfs_path(cache: Path) -> Path:
    """Name the root file system of today's recipe; it need not exist yet."""
    recipe = "\n".join((SUITE, *PACKAGES, CUSTOMISATION.read_text()))
    return cache / f"rootfs-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure_rootfs(cache: Path) -> Path:
    """
    Make the root file system unless it is there, and remove those of older recipes.

    It needs a Debian mirror and root. An interrupted run leaves only what the next one replaces; the caller sees to it
    that there is one run at a time.
    """
    path = rootfs_path(cache)
    if path.is_dir():
        return path
    for older in cache.glob("*rootfs-*"):
        shutil.rmtree(older)
    making = path.with_name(f"making-{path.name}")
    packages, hook = f"--include={','.join(PACKAGES)}", f"--customize-hook={CUSTOMISATION}"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", packages, hook, SUITE, str(making)], check=True)
    making.rename(path)
    return path
