"""Look this guest over: what is missing for mounts, what is wrong with its settings, and what to do about each."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.config import AgentConfig
from agent.drivers.base import Driver
from agent.drivers.registry import load_drivers
from agent.mounts.policy import Policy
from agent.programs import Programs
from weft.errors import CommandNotFoundError, ConfigError, MountError
from weft.finding import Finding, Verdict
from weft.wire.paths import SYSTEM_DIRECTORIES, find_objection

_VERSION_DEADLINE_S: Final = 5.0
_FREE_AT_LEAST_BYTES: Final = 64 << 20
"""Below this, a ledger or a cached upload may soon find no room."""
_FUSE: Final = Path("/dev/fuse")
_FUSECTL: Final = Path("/sys/fs/fuse/connections")


async def check_guest(config: AgentConfig) -> list[Finding]:
    """Check everything that needs no broker and no running agent."""
    findings = [check_root(os.geteuid()), check_fuse(_FUSE), check_abort(_FUSECTL), check_namespace(Path("/proc"))]
    findings += await check_backends(config)
    findings += [check_directory("state directory", config.state_dir), check_directory("run directory", config.run_dir)]
    findings += check_roots(config.allow)
    if config.creds is not None:
        findings.append(check_credentials(config.creds))
    return findings


def check_root(euid: int) -> Finding:
    """Only root may mount for every user."""
    if euid == 0:
        return Finding("user", Verdict.GOOD, "root")
    return Finding("user", Verdict.BAD, f"user id {euid} cannot mount", "run it as root (sudo weft-agent doctor)")


def check_fuse(device: Path) -> Finding:
    """Clients of cubefs and rclone serve their mounts through this device."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        advice = "modprobe fuse; in a container, pass the device in (--device /dev/fuse)"
        return Finding("fuse", Verdict.BAD, f"{device} does not exist", advice)
    except OSError as exc:
        why = (exc.strerror or "").lower()
        return Finding(
            "fuse", Verdict.BAD, f"{device} cannot be opened: {why}", "run it as root; a container needs CAP_SYS_ADMIN"
        )
    return Finding("fuse", Verdict.GOOD, f"{device} can be used")


def check_abort(directory: Path) -> Finding:
    """A client that hangs for ever can only be ended through fusectl, which is mounted when needed."""
    if directory.is_dir():
        return Finding("fusectl", Verdict.GOOD, f"{directory} is there: a hung share can be ended")
    return Finding(
        "fusectl", Verdict.NOTE, f"{directory} is not there: a hung share may keep its users", "modprobe fuse"
    )


def check_namespace(proc: Path) -> Finding:
    """Mounts made in a mount namespace of one's own are seen by nobody else."""
    try:
        is_same = os.readlink(proc / "self/ns/mnt") == os.readlink(proc / "1/ns/mnt")
    except OSError:
        return Finding("mount namespace", Verdict.NOTE, "cannot be compared with that of process 1")
    if is_same:
        return Finding("mount namespace", Verdict.GOOD, "that of the whole guest")
    advice = "remove PrivateTmp, PrivateMounts, ProtectSystem and the like from the unit"
    return Finding("mount namespace", Verdict.NOTE, "a private one: only processes in it see the shares", advice)


async def check_backends(config: AgentConfig) -> list[Finding]:
    """Each backend needs its client; a guest may well do without some."""
    try:
        drivers = load_drivers(allow_options=frozenset(config.allow_option), allow_types=frozenset(config.allow_type))
    except ConfigError as exc:
        advice = "reinstall or remove the package that brings the driver"
        return [Finding("drivers", Verdict.BAD, problem, advice) for problem in exc.problems]
    programs = Programs(name for driver in drivers.values() for name in driver.programs)
    findings = await asyncio.gather(*(_check_backend(driver, programs) for driver in drivers.values()))
    if not any(finding.verdict is Verdict.GOOD for finding in findings):
        findings.append(Finding("backends", Verdict.BAD, "no share can be mounted", "install one of the above"))
    return findings


async def _check_backend(driver: Driver, programs: Mapping[str, Path]) -> Finding:
    check = f"backend {driver.name}"
    try:
        driver.require_programs(programs)
        async with asyncio.timeout(_VERSION_DEADLINE_S):
            version = await driver.find_version(programs)
        problem = driver.find_version_problem(version)
    except CommandNotFoundError as exc:
        return Finding(check, Verdict.NOTE, exc.message, f"needed for {driver.name} shares only")
    except (MountError, TimeoutError) as exc:
        return Finding(check, Verdict.NOTE, f"its client does not say its version ({exc or 'no answer'})")
    if problem is not None:
        return Finding(check, Verdict.BAD, *problem)
    found = ", ".join(f"{name} {programs[name]}" for name in driver.programs[:1])
    return Finding(check, Verdict.GOOD, " ".join(part for part in (found, version or "") if part) or "in the kernel")


def check_directory(check: str, directory: Path) -> Finding:
    """The agent keeps its ledger, caches and sockets on the guest's own disk."""
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    if not existing.is_dir():
        return Finding(check, Verdict.BAD, f"{existing} is not a directory", f"move {existing} away")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(check, Verdict.BAD, f"{existing} cannot be written to", "run it as root, or remount it writable")
    free = shutil.disk_usage(existing).free
    if free < _FREE_AT_LEAST_BYTES:
        return Finding(check, Verdict.BAD, f"{existing} has only {free >> 20} MiB left", "make room")
    return Finding(check, Verdict.GOOD, f"{directory}, {free >> 20} MiB free")


def check_roots(roots: tuple[str, ...]) -> list[Finding]:
    """Shares may be mounted below these only."""
    findings = []
    for root in roots:
        if (objection := find_objection(root)) is not None and root not in SYSTEM_DIRECTORIES:
            advice = "take it out of allow: no share is ever mounted there"
            findings.append(Finding("allowed root", Verdict.BAD, f"{root}: {objection}", advice))
        elif Path(root).exists() and not Path(root).is_dir():
            findings.append(Finding("allowed root", Verdict.BAD, f"{root} is not a directory", f"move {root} away"))
    if not findings:
        findings.append(Finding("allowed roots", Verdict.GOOD, ", ".join(Policy(roots=roots).roots)))
    return findings


def check_credentials(path: Path) -> Finding:
    """Whoever reads the file is this guest to the broker."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as exc:
        return Finding("credentials", Verdict.BAD, f"{path}: {(exc.strerror or '').lower()}", "weft enroll makes them")
    if mode & 0o077:
        return Finding("credentials", Verdict.BAD, f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return Finding("credentials", Verdict.GOOD, str(path))
