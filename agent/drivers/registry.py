"""The drivers of this guest: built-in ones, and those that other packages offer."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

import structlog

from agent.drivers.base import Driver
from weft.offered import load_offered

log = structlog.get_logger(__name__)


def load_drivers(
    points: Iterable[EntryPoint] | None = None,
    *,
    allow_options: frozenset[str] = frozenset(),
    allow_types: frozenset[str] = frozenset(),
) -> dict[str, Driver]:
    """
    Make one instance of every driver, by backend name; blocks of foreign drivers become known to the wire.

    One that cannot be loaded costs nobody else anything: it is logged, and a share that asks for it is rejected.

    Args:
        points: Entry points to load instead of the installed ones of group ``weft.drivers``.
        allow_options: Options that this guest allows although they touch its files or run commands here.
        allow_types: Types of rclone remotes that it allows although nothing is known of them here.
    """
    offered = load_offered(points)
    strangers = {name for name, driver in offered.drivers.items() if not isinstance(driver, Driver)}
    problems = [*offered.problems, *(f"driver {name!r} cannot mount: it is no Driver" for name in sorted(strangers))]
    for problem in problems:
        log.error("driver.refused", error=problem)
    drivers = {driver.name: driver for driver in _builtin(allow_options, allow_types)}
    return drivers | {name: driver for name, driver in offered.drivers.items() if name not in strangers}


def _builtin(allow_options: frozenset[str], allow_types: frozenset[str]) -> list[Driver]:
    from agent.drivers.cubefs import CubefsDriver
    from agent.drivers.kernel import BindDriver, NfsDriver, Virtio9pDriver, VirtiofsDriver
    from agent.drivers.rclone import RcloneDriver

    return [
        CubefsDriver(allow_options=allow_options),
        RcloneDriver(allow_options=allow_options, allow_types=allow_types),
        NfsDriver(allow_options=allow_options),
        VirtiofsDriver(),
        Virtio9pDriver(),
        BindDriver(),
    ]
