"""``weft-agent doctor``: look the guest over and say, line by line, what to do."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from agent.checkup import check_guest
from agent.cli.question import Commands
from agent.config import AgentConfig, load_config
from agent.identity import find_identity
from weft.errors import ConfigError
from weft.finding import Finding, Verdict
from weft.logs import configure_logs
from weft.terminal import show, show_json


def add_to(commands: Commands) -> None:
    """Describe the command."""
    summary = "look over fuse, clients, directories, clock and link, and say what to do"
    parser: argparse.ArgumentParser = commands.add_parser("doctor", help=summary, description=summary)
    parser.add_argument("--config", type=Path, metavar="F", help="the guest's settings (/etc/weft/agent.toml)")
    for name, meaning in (("vm", "ID"), ("nats", "URL"), ("creds", "F"), ("run-dir", "D"), ("state-dir", "D")):
        parser.add_argument(f"--{name}", metavar=meaning, help="as of weft-agent run")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="table or json (table)")
    parser.set_defaults(perform=perform)


def perform(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 if something must be done."""
    configure_logs(level="error")
    flags = {name: getattr(arguments, name) for name in ("vm", "nats", "creds", "run_dir", "state_dir")}
    try:
        config = load_config(flags, os.environ, file=arguments.config)
    except ConfigError as exc:
        findings = [Finding("settings", Verdict.BAD, problem, "correct it") for problem in exc.problems]
        findings += asyncio.run(check_guest(AgentConfig()))
    else:
        findings = asyncio.run(_check(config))
    if arguments.output == "json":
        show_json(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        show(*build_lines(findings))
    return 1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0


async def _check(config: AgentConfig) -> list[Finding]:
    from agent.checkup_link import check_agent, check_link

    findings = await check_guest(config)
    try:
        identity = find_identity(config.vm)
    except ConfigError as exc:
        return findings + [Finding("vm", Verdict.BAD, problem, "set vm in the settings") for problem in exc.problems]
    findings.append(Finding("vm", Verdict.GOOD, f"{identity.vm} (from {identity.taken_from})"))
    findings += await check_link(config, identity.vm)
    return findings + await asyncio.to_thread(check_agent, config)


def build_lines(findings: Sequence[Finding]) -> Iterable[str]:
    """Lay *findings* out, one line each, with what to do below those that ask for it."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        yield f"{finding.verdict:<4}  {finding.check:<{width}}  {finding.message}"
        if finding.advice and finding.verdict is not Verdict.GOOD:
            yield f"{'':<4}  {'':<{width}}  -> {finding.advice}"
    bad = sum(finding.verdict is Verdict.BAD for finding in findings)
    yield f"{bad} to do" if bad else "nothing to do"
