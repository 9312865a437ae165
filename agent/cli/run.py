"""``weft-agent run``: be the agent, until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import structlog

from agent.app import Agent
from agent.config import load_config
from agent.identity import find_identity
from agent.threads import OwnThreads
from weft.logs import LEVELS, configure_logs

FAREWELL_S = 0.7
"""For steps in flight to undo what they began; what is not undone then is finished or undone by the next start."""

_FLAGS = (
    "vm nats creds tls_ca tls_cert tls_key state_dir run_dir allow allow_source share_mounts create_stream log_level"
)

log = structlog.get_logger("weft.agent")


def add_to(commands: Any) -> None:
    """Describe the command."""
    summary = "mount what the control plane asks for, and keep it mounted"
    parser: argparse.ArgumentParser = commands.add_parser("run", help=summary, description=summary)
    add = parser.add_argument
    add("--config", type=Path, metavar="F", help="settings as TOML (/etc/weft/agent.toml)")
    add("--vm", metavar="ID", help="this guest's VM id, or auto (SMBIOS product UUID, else machine-id)")
    add("--nats", metavar="URL", help="the broker; several servers of a cluster with commas between")
    add("--creds", metavar="F", help="NATS credentials file")
    add("--tls-ca", "--tlsca", metavar="F", help="certificates to trust instead of the system's")
    add("--tls-cert", "--tlscert", metavar="F", help="client certificate")
    add("--tls-key", "--tlskey", metavar="F", help="private key of the client certificate")
    add("--state-dir", metavar="D", help="ledger and caches (/var/lib/weft)")
    add("--run-dir", metavar="D", help="control socket and private files of mounts (/run/weft-agent)")
    add("--allow", action="append", default=[], metavar="ROOT", help="allow mount points below ROOT only; repeatable")
    add("--allow-source", action="append", default=[], metavar="ROOT", help="allow bind sources below ROOT only")
    add("--share-mounts", metavar="F", help="boot file: a JSON array of shares to mount without any broker")
    add("--create-stream", action="store_const", const=True, help="create a missing stream (development only)")
    add("--log-level", choices=LEVELS, help="least important events to log (info)")
    parser.set_defaults(perform=perform)


def perform(arguments: argparse.Namespace) -> int:
    """Run the agent; 0 when it was told to stop."""
    flags = {name: getattr(arguments, name) for name in _FLAGS.split(" ")}
    config = load_config(flags, os.environ, file=arguments.config)
    configure_logs(level=config.log_level)
    identity = find_identity(config.vm)
    agent = Agent(config, identity, environ=dict(os.environ))
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        os.environ.pop(name, None)  # clients speak sd_notify too, and would speak for us
    asyncio.run(_run_until_stopped(agent))
    log.info("agent.stopped", vm=identity.vm)
    return 0


async def _run_until_stopped(agent: Agent) -> None:
    asyncio.get_running_loop().set_default_executor(OwnThreads())
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    work = asyncio.create_task(agent.run(), name="weft-agent")
    stop = asyncio.create_task(stopped.wait(), name="weft-stop")
    await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        stop.cancel()
        await work
        return
    work.cancel()
    done, _ = await asyncio.wait([work], timeout=FAREWELL_S)
    if not done:
        log.warning("agent.stopped", error="a step in flight did not end in time; the next start sees to it")
        sys.stderr.flush()
        os._exit(0)
    if not work.cancelled() and (exc := work.exception()) is not None:
        raise exc
