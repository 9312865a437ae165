"""Backends from other packages: what entry points of group ``weft.drivers`` offer, loaded alike on both sides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from weft.errors import WeftError
from weft.wire.blocks import Block, register_block
from weft.wire.fields import field_infos
from weft.wire.ids import parse_share_id
from weft.wire.share import ShareMount

ENTRY_POINT_GROUP = "weft.drivers"


@dataclass(frozen=True, slots=True)
class Offered:
    """
    What could be loaded.

    Attributes:
        drivers: The offered objects by the backend's name; each has at least ``name`` and ``block``.
        problems: One sentence for each that cannot be used.
    """

    drivers: dict[str, Any]
    problems: tuple[str, ...]


def load_offered(points: Iterable[EntryPoint] | None = None) -> Offered:
    """
    Make one object of everything that is offered, and make its block known to the wire.

    An operator's side needs no more of it than that; a guest's mounts with it.

    Args:
        points: Entry points to load instead of the installed ones.
    """
    drivers: dict[str, Any] = {}
    problems: list[str] = []
    for point in entry_points(group=ENTRY_POINT_GROUP) if points is None else points:
        try:
            driver = point.load()()
            register_block(_checked_name(driver), _checked_block(driver))
        except (ImportError, AttributeError, TypeError, ValueError, WeftError) as exc:
            problems.append(f"cannot load driver {point.name!r} from {point.value!r}: {exc}")
        else:
            drivers[driver.name] = driver
    return Offered(drivers, tuple(problems))


def _checked_name(driver: Any) -> str:
    name = parse_share_id(driver.name)  # the same letters: it is a key in JSON, and a part of option names
    if name in field_infos(ShareMount):
        raise ValueError(f"{name!r} is taken by a field of shares")
    return name


def _checked_block(driver: Any) -> type[Block]:
    block = driver.block
    if not (isinstance(block, type) and issubclass(block, Block)):
        raise TypeError(f"the block of {driver.name!r} is not a subclass of weft.wire.blocks.Block")
    return block
