"""The drivers of this guest: built-in ones, and those that other packages offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points

from agent.drivers.base import Driver
from weft.errors import ConfigError
from weft.wire.blocks import register_block

ENTRY_POINT_GROUP = "weft.drivers"


def load_drivers(
    points: Iterable[EntryPoint] | None = None, *, allow_options: frozenset[str] = frozenset()
) -> dict[str, Driver]:
    """
    Make one instance of every driver, by backend name; blocks of foreign drivers become known to the wire.

    Args:
        points: Entry points to load instead of the installed ones of group ``weft.drivers``.
        allow_options: Options that this guest allows although they touch its files or run commands here.

    Raises:
        ConfigError: an offered driver cannot be loaded, or its name is taken.
    """
    drivers = {driver.name: driver for driver in _builtin(allow_options)}
    problems: list[str] = []
    for point in entry_points(group=ENTRY_POINT_GROUP) if points is None else points:
        try:
            driver = _load(point)
            register_block(driver.name, driver.block)
        except (ImportError, AttributeError, TypeError, ValueError) as exc:
            problems.append(f"cannot load driver {point.name!r} from {point.value!r}: {exc}")
            continue
        drivers[driver.name] = driver
    if problems:
        raise ConfigError(problems)
    return drivers


def _builtin(allow_options: frozenset[str]) -> list[Driver]:
    from agent.drivers.cubefs import CubefsDriver
    from agent.drivers.kernel import BindDriver, NfsDriver, Virtio9pDriver, VirtiofsDriver
    from agent.drivers.rclone import RcloneDriver

    return [
        CubefsDriver(allow_options=allow_options),
        RcloneDriver(allow_options=allow_options),
        NfsDriver(),
        VirtiofsDriver(),
        Virtio9pDriver(),
        BindDriver(),
    ]


def _load(point: EntryPoint) -> Driver:
    factory: Callable[[], object] = point.load()
    driver = factory()
    if not isinstance(driver, Driver):
        raise TypeError(f"{driver!r} is not a Driver")
    return driver
