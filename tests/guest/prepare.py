"""Makes what needs the network, before the tests leave it: the root file system and the wheels of the dependencies."""

from __future__ import annotations

import fcntl
import time

from tests.guest.rootfs import cache_directory, ensure_rootfs, rootfs_path
from tests.guest.wheelhouse import dependencies_path, ensure_dependencies


def main() -> None:
    """Make what is missing, and say so; one run at a time."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not rootfs_path(cache).is_dir():
            print("making the guests' root file system (about half a minute, once) ...", flush=True)
        root = ensure_rootfs(cache)
        if not dependencies_path(cache).is_dir():
            print("fetching the wheels that a guest needs (once) ...", flush=True)
        wheels = ensure_dependencies(cache)
    print(f"prepared {root} and {wheels} in {time.monotonic() - started_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
