"""Shares for Python programs: mounted inside a ``with`` block, and gone after it, whatever kills the program."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog

from agent.ledger import Ledger
from agent.mounts import places
from agent.reconcile.reconciler import Progress
from agent.standalone import STANDALONE, Surroundings, hold
from weft.errors import ConfigError, MountError, MountTimeoutError, WeftError
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount, parse_share
from weft.wire.status import ShareState

DEFAULT_RUN_DIR: Final = Path("/run/weft-programs")
DEFAULT_STATE_DIR: Final = Path("/var/lib/weft/programs")
DEFAULT_TIMEOUT_S: Final = 60.0

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def mounted(
    spec: ShareMount | Mapping[str, Any],
    *,
    state_dir: Path = DEFAULT_STATE_DIR,
    run_dir: Path = DEFAULT_RUN_DIR,
    allow: tuple[str, ...] | None = None,
    allow_source: tuple[str, ...] = ("/",),
    allow_options: frozenset[str] = frozenset(),
    allow_types: frozenset[str] = frozenset(),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> AsyncIterator[Path]:
    """
    Mount one share for the time of the block, and keep it mounted: a client that dies is replaced.

    What the program wrote is stored before the block is left. Should the program be killed, the mount stays until the
    next one with the same *state_dir* begins a block, for whichever share; files not stored by then are stored when
    the same share is mounted again.

    Args:
        spec: A share, or its plain values.
        state_dir: What is mounted, and caches; the same for all programs that clean up after each other.
        run_dir: Private files of clients; likewise, short, and emptied at boot.
        allow: Roots below which it may be mounted; by default the directory that holds the mount point.
        allow_source: Roots below which a bind or rclone's ``local`` may show directories; like *allow* they open no
            system directory, nothing that begins with a dot, and not what Python runs from.
        allow_options: Backend options that read files here or run commands, and are allowed.
        allow_types: Types of rclone remotes that are otherwise refused, and are allowed.
        timeout_s: Seconds for the mount to come up.

    Returns:
        The mount point.

    Raises:
        DecodeError: *spec* is not a share.
        MountError: it cannot be mounted; nothing is left of it.
        ConfigError: another living program holds a share of this id.
    """
    share = spec if isinstance(spec, ShareMount) else parse_share(dict(spec))
    roots = allow if allow is not None else (str(Path(share.mount_point).parent),)
    everywhere = Surroundings(
        run_dir=run_dir,
        state_dir=state_dir,
        allow=roots,
        allow_source=allow_source,
        allow_options=allow_options,
        allow_types=allow_types,
    )
    name = places.short_name(share.share_id)
    await _clean_up(everywhere, besides=name)
    async with hold((share,), where=_part_of(everywhere, name)) as holder:
        try:
            async with asyncio.timeout(timeout_s):
                await holder.wait_for(lambda progress: _is_decided(progress, share.share_id))
        except TimeoutError as exc:
            raise MountTimeoutError(f"cannot mount share {share.id!r} in {timeout_s:g} s") from exc
        standing = holder.progress.standings[share.share_id]
        if standing.state not in (ShareState.MOUNTED, ShareState.DEGRADED):
            fault = standing.fault
            why = fault.message if fault is not None else f"cannot mount share {share.id!r}: it is {standing.state}"
            raise MountError(why, code=fault.code if fault else None, detail=fault.detail if fault else "")
        yield Path(share.mount_point)


@contextmanager
def mounted_sync(spec: ShareMount | Mapping[str, Any], **options: Any) -> Iterator[Path]:
    """
    Mount one share for the time of the block, for programs without an event loop.

    A thread of its own keeps it mounted; see :func:`mounted` for everything else.

    Args:
        spec: A share, or its plain values.
        options: As :func:`mounted` takes them.
    """
    leave = threading.Event()
    is_up: Future[Path] = Future()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="weft-mounted") as pool:
        kept = pool.submit(asyncio.run, _keep(spec, options, is_up, leave))
        try:
            either: set[Future[Any]] = {is_up, kept}
            wait(either, return_when=FIRST_COMPLETED)
            if not is_up.done():
                kept.result()  # raises why it is not up
            yield is_up.result()
        finally:
            leave.set()
        kept.result()


async def _keep(
    spec: ShareMount | Mapping[str, Any], options: Mapping[str, Any], is_up: Future[Path], leave: threading.Event
) -> None:
    async with mounted(spec, **options) as mount_point:
        is_up.set_result(mount_point)
        await asyncio.to_thread(leave.wait)


async def _clean_up(everywhere: Surroundings, *, besides: str) -> None:
    """Unmount what killed programs left; what living ones hold is locked, and what will not go is not in our way."""
    if not everywhere.state_dir.is_dir():
        return
    for name in sorted(path.name for path in everywhere.state_dir.iterdir() if path.name != besides):
        part = _part_of(everywhere, name)
        if not _has_records(part):
            continue
        try:
            async with hold((), where=part):
                pass  # leaving unmounts all that was found
        except ConfigError:
            continue
        except WeftError as exc:
            _log.warning("unmount.failed", path=str(part.state_dir), error=str(exc))


def _has_records(part: Surroundings) -> bool:
    ledger = Ledger(part.state_dir, STANDALONE, spare=places.private_root(part.run_dir))
    ledger.load()
    return bool(tuple(ledger.live()))


def _part_of(everywhere: Surroundings, name: str) -> Surroundings:
    """Give each share directories, and a lock, of its own, so that programs do not get in each other's way."""
    run_dir, state_dir = everywhere.run_dir, everywhere.state_dir
    return replace(everywhere, run_dir=run_dir / name, state_dir=state_dir / name, kept=(run_dir, state_dir))


def _is_decided(progress: Progress, share_id: ShareId) -> bool:
    """Say whether the first attempt is over."""
    standing = progress.standings.get(share_id)
    undecided = (ShareState.PENDING, ShareState.MOUNTING, ShareState.UNMOUNTING)
    return standing is not None and standing.state not in undecided
