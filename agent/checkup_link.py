"""Look over what lies outside the guest: the broker, the guest's rights there, its clock, and a running agent."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Final

import msgspec

from agent.config import AgentConfig, build_link_options
from agent.control_client import ask
from agent.stored import StoredState
from weft.errors import (
    BrokerDeniedError,
    BrokerError,
    ConfigError,
    NoRespondersError,
    WeftError,
)
from weft.finding import Finding, Verdict
from weft.link import Link
from weft.link.options import without_login
from weft.wire.ids import VmId
from weft.wire.subjects import MOUNTS_STREAM

_ANSWER_S: Final = 5.0
_CLOCK_MAY_DIFFER_S: Final = 60.0
"""Expiry and the age of reports are judged by clocks; a minute is more than any network delay."""
_HEALTHY: Final = frozenset({"mounted", "shadowed", "expired", "held"})


async def check_link(config: AgentConfig, vm: VmId) -> list[Finding]:
    """Connect as the agent would, read as it would, and compare clocks."""
    servers = ", ".join(without_login(server) for server in config.nats)
    link = Link(build_link_options(config, vm, name=f"weft-agent doctor {vm}"))
    try:
        await link.connect()
    except ConfigError as exc:
        return [Finding("broker", Verdict.BAD, problem, "correct it in the settings") for problem in exc.problems]
    except BrokerDeniedError as exc:
        return [Finding("broker", Verdict.BAD, f"{servers}: {exc}", "weft enroll makes new credentials")]
    except BrokerError as exc:
        advice = "is the address right, the broker running, and the port open? Shares stay mounted meanwhile"
        return [Finding("broker", Verdict.BAD, f"{servers}: {exc}", advice)]
    try:
        version = Finding("broker", Verdict.GOOD, f"{servers}, nats-server {link.server_version}")
        return [version, await _check_state(link, vm), await _check_clock(link)]
    finally:
        await link.close()


async def _check_state(link: Link, vm: VmId) -> Finding:
    try:
        arrived = await StoredState(link, vm).read_directly()
    except NoRespondersError:
        return Finding(
            "stream", Verdict.BAD, f"stream {MOUNTS_STREAM} is not there", "run weft init where it has rights"
        )
    except BrokerDeniedError as exc:
        return Finding("stream", Verdict.BAD, str(exc), f"is {vm} the id these credentials are for? weft enroll {vm}")
    except BrokerError as exc:
        return Finding("stream", Verdict.BAD, str(exc), "look at the broker's log")
    if arrived is None:
        return Finding("stream", Verdict.NOTE, f"nothing was published for {vm} yet", f"weft publish ID --vm {vm}")
    return Finding("stream", Verdict.GOOD, f"the state of {vm} can be read ({len(arrived.data)} bytes)")


async def _check_clock(link: Link) -> Finding:
    before_s = time.time()
    try:
        answer = await link.request(f"$JS.API.STREAM.INFO.{MOUNTS_STREAM}", timeout_s=_ANSWER_S)
        told = msgspec.json.decode(answer.data)["ts"]
        broker_s = datetime.fromisoformat(told.partition(".")[0].rstrip("Z") + "+00:00").timestamp()
    except (BrokerError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return Finding("clock", Verdict.NOTE, "cannot be compared with the broker's: these credentials may not ask")
    return judge_clock(before_s - broker_s)


def judge_clock(ahead_s: float) -> Finding:
    """Judge by how many seconds the guest's clock is ahead of the broker's."""
    if abs(ahead_s) <= _CLOCK_MAY_DIFFER_S:
        return Finding("clock", Verdict.GOOD, "agrees with the broker's")
    direction = "ahead of" if ahead_s > 0 else "behind"
    message = f"{abs(ahead_s):.0f} s {direction} the broker's"
    return Finding("clock", Verdict.BAD, message, "timedatectl set-ntp true: shares expire by the guest's clock")


def check_agent(config: AgentConfig) -> list[Finding]:
    """Ask the running agent, if there is one, how its shares are."""
    try:
        status: dict[str, Any] = ask(config.run_dir, {"do": "status"}, timeout_s=_ANSWER_S)["status"]
    except WeftError as exc:
        return [Finding("agent", Verdict.NOTE, str(exc), "systemctl enable --now weft-agent weft-shares")]
    findings = [Finding("agent", Verdict.GOOD, f"runs as {status['vm']}, {status['mode']}")]
    if "problem" in status:
        findings.append(Finding("agent", Verdict.BAD, status["problem"]["message"], "weft-agent status shows the rest"))
    for share in status["shares"]:
        if share["state"] not in _HEALTHY:
            why = share.get("error", {}).get("message", share["state"])
            findings.append(_judge_share(share, why))
    return findings


def _judge_share(share: dict[str, Any], why: str) -> Finding:
    check = f"share {share['id']}"
    if share["state"] in ("failed", "rejected"):
        return Finding(check, Verdict.BAD, why, f"correct it, then weft-agent retry {share['id']}")
    return Finding(check, Verdict.NOTE, f"{share['state']}: {why}")
