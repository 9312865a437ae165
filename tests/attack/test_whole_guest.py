"""A whole agent, its settings as wide as they can be, and a list of shares that would take it over."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.mounts.table import read_mount_table
from tests.attack.conftest import CountProbes
from tests.parts.agent_process import AgentProcess

pytestmark = pytest.mark.integration

SECRET = "moonlit-shore-9"


@pytest.fixture
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short one, since UNIX sockets lie below it."""
    return tmp_path_factory.mktemp("wide")


@pytest.fixture
def agent(directory: Path) -> AgentProcess:
    """An agent whose roots forbid nothing, with a credential and shares from its boot file."""
    settings = directory / "settings" / "agent.toml"
    settings.parent.mkdir()
    settings.write_text('allow = ["/"]\nallow_source = ["/"]\n')
    (directory / "passed").mkdir()
    (directory / "passed" / "share.key").write_text(SECRET)
    arguments = ("--config", str(settings), "--allow", "/", "--allow-source", "/")
    arguments += ("--share-mounts", str(directory / "boot" / "shares.json"), "--log-level", "debug")
    return AgentProcess(
        directory,
        "nats://127.0.0.1:1",
        arguments=arguments,
        environ={"CREDENTIALS_DIRECTORY": str(directory / "passed")},
    )


def evil_shares(agent: AgentProcess, good: str) -> dict[str, dict[str, Any]]:
    """Shares that are refused, by what they are after."""
    here, python = agent.directory, Path(sys.prefix)
    places = {
        "state": agent.state_dir, "cache": agent.state_dir / "cache", "run": agent.run_dir / "x",
        "private": agent.run_dir / "private" / "0123456789ab", "settings": here / "settings", "boot": here / "boot",
        "passed": here / "passed", "above": here, "prefix": python, "bin": python / "bin",
        "site": python / "lib" / "python3.11" / "site-packages" / "sitecustomize", "code": Path("agent").absolute(),
        "wire": Path("weft").absolute() / "wire", "checkout": Path.cwd() / "sitecustomize", "keys": Path("/root/.ssh"),
        "units": Path("/etc/systemd/system"), "local-units": Path("/usr/local/lib/systemd/system"),
        "cron": Path("/var/spool/cron"), "home": Path("/home/ann"), "roots-home": Path("/root"),
        "config": Path("/home/ann/.config/systemd/user"), "usr": Path("/usr/local/bin"), "passwords": Path("/etc"),
    }  # fmt: skip
    shares = {
        f"at-{name}": {"backend": "bind", "mount_point": str(path), "bind": {"source": good}}
        for name, path in places.items()
    }
    shown = {name: path for name, path in places.items() if name not in ("cron", "home", "config", "run", "private")}
    for name, path in shown.items():
        at = str(agent.mounts / f"of-{name}")
        block = {"type": "local", "path": str(path)}
        shares[f"of-{name}"] = {"backend": "rclone", "mount_point": at, "rclone": block}
    return shares


def tempting_shares(agent: AgentProcess) -> dict[str, dict[str, Any]]:
    """Shares that would carry a credential out, by the field that carries it."""
    reference = "credential:share.key"
    blocks = {
        "path": {"type": "local", "path": reference},
        "endpoint": {"type": "s3", "path": "b", "config": {"endpoint": reference}},
        "user": {"type": "sftp", "config": {"user": reference, "host": "127.0.0.1"}},
        "option": {"type": "local", "path": "/srv", "options": {"user-agent": reference}},
        "unlisted": {"type": "s3", "config": {"made_up": reference}},
    }
    return {
        f"out-{name}": {"backend": "rclone", "mount_point": str(agent.mounts / name), "rclone": block}
        for name, block in blocks.items()
    }


async def test_every_one_of_them_is_refused(agent: AgentProcess, tmp_path: Path, count_probes: CountProbes) -> None:
    """With a reason, without a mount, and without the credential in what the guest says; a good share beside is up."""
    good = str(tmp_path)
    denied, refused = evil_shares(agent, good), tempting_shares(agent)
    fine = {"backend": "bind", "mount_point": str(agent.mounts / "fine"), "bind": {"source": good}}
    shares = [{"id": name, **share} for name, share in {**denied, **refused, "fine": fine}.items()]
    boot = agent.directory / "boot" / "shares.json"
    boot.parent.mkdir()
    boot.write_text(json.dumps(shares))
    before = len(read_mount_table().entries)
    async with agent:
        wanted = dict.fromkeys((*denied, *refused), "failed") | {"fine": "mounted"}
        status = await agent.until_states(**wanted)
        errors = {share["id"]: share["error"] for share in status["shares"] if "error" in share}
        assert {name for name in denied if errors[name]["code"] != "denied"} == set()
        assert {name for name in refused if errors[name]["code"] != "bad_spec"} == set()
        assert len(read_mount_table().entries) == before + 1
        told = json.dumps(status) + agent.log_path.read_text()
        assert SECRET not in told
        await agent.ask("unmount", id="fine")
        await agent.until_states(**wanted | {"fine": "held"})
    count_probes("shares refused by a whole agent", len(denied) + len(refused))
