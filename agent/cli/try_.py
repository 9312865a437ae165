"""``weft-agent try``: mount a spec in the foreground, before it is published to anybody."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from agent.cli.question import Commands
from agent.config import AgentConfig, load_config
from agent.mounts.cage import Views
from agent.reconcile.reconciler import Progress
from agent.reconcile.standing import Standing
from agent.share_file import load_share_file
from agent.standalone import Holder, Surroundings, hold
from weft.logs import configure_logs
from weft.printable import quoted
from weft.terminal import show, tell
from weft.wire.ids import ShareId
from weft.wire.share import ShareMount
from weft.wire.status import ShareState

DEFAULT_TIMEOUT_S = 60.0
_TRIED = (ShareState.MOUNTED, ShareState.FAILED, ShareState.BACKOFF, ShareState.REJECTED, ShareState.EXPIRED)
_UP = (ShareState.MOUNTED, ShareState.SHADOWED)


def add_to(commands: Commands) -> None:
    """Describe the command."""
    summary = "mount the shares of a file in the foreground, show what happens, unmount at the end"
    parser: argparse.ArgumentParser = commands.add_parser("try", help=summary, description=summary)
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON or TOML: one share or many")
    parser.add_argument("--check", action="store_true", help="unmount and exit as soon as it is clear whether it works")
    parser.add_argument(
        "--timeout", type=float, default=DEFAULT_TIMEOUT_S, metavar="S", help="seconds until --check gives up (60)"
    )
    parser.add_argument("--config", type=Path, metavar="F", help="the guest's settings (/etc/weft/agent.toml)")
    parser.add_argument("--run-dir", metavar="D", help="the agent's run directory; a part of it is used")
    parser.add_argument("--state-dir", metavar="D", help="the agent's state directory; a part of it is used")
    parser.add_argument("--allow", action="append", default=[], metavar="ROOT", help="allow mount points below ROOT")
    parser.add_argument("--allow-source", action="append", default=[], metavar="ROOT", help="allow sources below ROOT")
    parser.set_defaults(perform=perform)


def perform(arguments: argparse.Namespace) -> int:
    """Mount what the file says; 0 if all of it was mounted in the end."""
    flags = {name: getattr(arguments, name) for name in ("run_dir", "state_dir", "allow", "allow_source")}
    config = load_config(flags, os.environ, file=arguments.config)
    shares = load_share_file(arguments.file)
    configure_logs(level="error")
    return asyncio.run(_try(shares, _surroundings(config), arguments.timeout if arguments.check else None))


def _surroundings(config: AgentConfig) -> Surroundings:
    """Use the guest's own rules, since it is the guest that will be asked, in directories apart from the agent's."""
    return Surroundings(
        run_dir=config.run_dir / "try",
        state_dir=config.state_dir / "try",
        allow=config.allow,
        allow_source=config.allow_source,
        allow_options=frozenset(config.allow_option),
        views=Views(read_only=config.client_paths, writable=config.client_writable_paths),
        allow_types=frozenset(config.allow_type),
        is_shielding=config.shield,
        kept=(config.run_dir, config.state_dir, *config.files),
    )


async def _try(shares: tuple[ShareMount, ...], where: Surroundings, timeout_s: float | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ids = frozenset(share.share_id for share in shares)
    async with hold(shares, where=where, on_progress=_Teller().tell) as holder:
        await _until_tried(holder, ids, stop, timeout_s)
        standings = holder.progress.standings
        if timeout_s is None and not stop.is_set():
            tell("press Ctrl-C to unmount and end")
            await stop.wait()
            standings = holder.progress.standings
    is_good = all(share_id in standings and standings[share_id].state in _UP for share_id in ids)
    return 0 if is_good else 1


async def _until_tried(holder: Holder, ids: frozenset[ShareId], stop: asyncio.Event, timeout_s: float | None) -> None:
    """Wait for the first attempt at each share, or for the signal to stop."""
    tried = asyncio.ensure_future(holder.wait_for(lambda progress: _is_tried(progress, ids)))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({tried, stopped}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if tried in done:
            await tried
        elif not done:
            tell(f"gave up after {timeout_s:g} s")
    finally:
        tried.cancel()
        stopped.cancel()


def _is_tried(progress: Progress, ids: frozenset[ShareId]) -> bool:
    standings = progress.standings
    return all(share_id in standings and standings[share_id].state in (*_TRIED, *_UP) for share_id in ids)


@dataclass(slots=True)
class _Teller:
    """Says each change once."""

    told: dict[ShareId, list[str]] = field(default_factory=dict)

    def tell(self, progress: Progress) -> None:
        for share_id, standing in sorted(progress.standings.items()):
            text = describe(standing)
            if self.told.get(share_id) != text:
                self.told[share_id] = text
                first, *others = text
                show(f"{datetime.now():%H:%M:%S}  {share_id}: {first}", *others)
        for share_id in [each for each in self.told if each not in progress.standings]:
            del self.told[share_id]
            show(f"{datetime.now():%H:%M:%S}  {share_id}: gone")


def describe(standing: Standing) -> list[str]:
    """Say where a share stands, and why if it is not as it should be, with what the client printed below it."""
    text = str(standing.state)
    if standing.state is ShareState.MOUNTED:
        text += f" at {standing.mount_point} ({standing.backend})"
    fault = standing.fault
    if fault is None:
        return [text]
    return [f"{text}: {fault.code}: {fault.message}", *quoted(fault.detail)]
