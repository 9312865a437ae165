"""The boot file: shares that this guest mounts whether or not a broker ever answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from weft.errors import DecodeError
from weft.wire.share import ShareMount, parse_share

log = structlog.get_logger("weft.boot")


@dataclass(frozen=True, slots=True)
class BootShares:
    """
    What the boot file has.

    Attributes:
        shares: What can be used, in order.
        is_complete: Whether every element's id could be read.
        problems: One sentence for each element that cannot be used.
    """

    shares: tuple[ShareMount, ...]
    is_complete: bool
    problems: tuple[str, ...] = ()


def parse_boot_file(data: bytes) -> BootShares:
    """
    Read a JSON array of ShareMounts, element by element.

    Raises:
        DecodeError: It is not a JSON array.
    """
    try:
        elements = msgspec.json.decode(data)
    except msgspec.DecodeError as exc:
        raise DecodeError(f"it is not JSON: {exc}") from exc
    except RecursionError as exc:
        raise DecodeError("it is nested too deeply") from exc
    if not isinstance(elements, list):
        raise DecodeError("it must be a JSON array of shares")
    shares: list[ShareMount] = []
    problems: list[str] = []
    is_complete = True
    for index, element in enumerate(elements):
        try:
            shares.append(parse_share(element))
        except DecodeError as exc:
            problems.append(f"[{index}]: {exc.reason}")
            is_complete = is_complete and exc.share_id is not None
    return BootShares(tuple(shares), is_complete, tuple(problems))


def load_boot_file(path: Path) -> BootShares | None:
    """
    Read the boot file at *path*, saying what cannot be used.

    Returns:
        Its shares; None where there is no file, or none that can be read: that is no order to unmount anything.
    """
    try:
        boot = parse_boot_file(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, DecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        log.error("boot.refused", path=str(path), error=f"cannot read {path}: {reason}")
        return None
    for problem in boot.problems:
        log.error("share.rejected", path=str(path), error=problem)
    return boot
