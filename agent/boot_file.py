"""The boot file: shares that this guest mounts whether or not a broker ever answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.disk import read_file
from weft.errors import DecodeError
from weft.wire.codec import MAX_MESSAGE_BYTES, decode_json
from weft.wire.mountset import MAX_SHARES
from weft.wire.share import ShareMount, parse_share

log = structlog.get_logger("weft.boot")


@dataclass(frozen=True, slots=True)
class BootShares:
    """
    What the boot file has.

    Attributes:
        shares: What can be used, in order.
        is_complete: Whether every element can be used; what the others' ids have mounted is not to go for that.
        problems: One sentence for each element that cannot be used.
    """

    shares: tuple[ShareMount, ...]
    is_complete: bool
    problems: tuple[str, ...] = ()


def parse_boot_file(data: bytes, *, max_shares: int = MAX_SHARES) -> BootShares:
    """
    Read a JSON array of ShareMounts, element by element.

    Raises:
        DecodeError: It is not a JSON array, or one of more than *max_shares*.
    """
    elements = decode_json(data, what="a boot file")
    if not isinstance(elements, list):
        raise DecodeError("it must be a JSON array of shares")
    if len(elements) > max_shares:
        raise DecodeError(f"it has {len(elements)} shares, and this guest takes {max_shares} (max_shares)")
    shares: list[ShareMount] = []
    problems: list[str] = []
    for index, element in enumerate(elements):
        try:
            shares.append(parse_share(element))
        except DecodeError as exc:
            problems.append(f"[{index}]: {exc.reason}")
    return BootShares(tuple(shares), not problems, tuple(problems))


def load_boot_file(path: Path, *, max_shares: int = MAX_SHARES) -> BootShares | None:
    """
    Read the boot file at *path*, saying what cannot be used.

    Returns:
        Its shares, none and incomplete where it cannot be read: that is no order to unmount anything. None where there
        is no file, which is no order either.
    """
    try:
        boot = parse_boot_file(read_file(path, most_bytes=MAX_MESSAGE_BYTES), max_shares=max_shares)
    except FileNotFoundError:
        return None
    except (OSError, DecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        problem = f"cannot read {path}: {reason}"
        log.error("boot.refused", path=str(path), error=problem)
        return BootShares((), is_complete=False, problems=(problem,))
    for problem in boot.problems:
        log.error("share.rejected", path=str(path), error=problem)
    return boot
