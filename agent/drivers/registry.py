"""The drivers of this guest: built-in ones, and those that other packages offer."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint

from agent.drivers.base import Driver
from weft.errors import ConfigError
from weft.offered import Offered, load_offered


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
    offered = load_offered(points)
    strangers = [f"cannot use driver {name!r}: it is no {Driver.__name__}" for name in _strangers(offered)]
    if offered.problems or strangers:
        raise ConfigError([*offered.problems, *strangers])
    return drivers | offered.drivers


def _strangers(offered: Offered) -> list[str]:
    return [name for name, driver in offered.drivers.items() if not isinstance(driver, Driver)]


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
