"""``weft-agent try`` and ``weft-agent doctor`` as a person calls them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from tests.parts.broker import Broker
from tests.parts.processes import wait_for_file

pytestmark = pytest.mark.integration


async def start(directory: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Call ``weft-agent`` with directories of its own; what it prints goes to a file."""
    with (directory / "out").open("wb") as out:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", *arguments),
            *("--run-dir", str(directory / "run"), "--state-dir", str(directory / "state")),
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"},
            stdout=out,
            stderr=out,
        )


async def run(directory: Path, *arguments: str) -> tuple[int, str]:
    process = await start(directory, *arguments)
    async with asyncio.timeout(30):
        return await process.wait(), (directory / "out").read_text()


def write_spec(directory: Path, source: str) -> list[str]:
    """Write a file with one bind share and return how it is tried."""
    (directory / "sources" / "good").mkdir(parents=True)
    (directory / "sources" / "good" / "hello").write_text("tide")
    lines = ['id = "data"', 'backend = "bind"', f'mount_point = "{directory}/mounts/data"']
    lines.append(f'bind = {{source = "{directory}/sources/{source}"}}')
    (directory / "spec.toml").write_text("\n".join(lines))
    allowed = ["--allow", f"{directory}/mounts", "--allow-source", f"{directory}/sources"]
    return ["try", f"{directory}/spec.toml", *allowed]


def mounts_in(directory: Path) -> list[str]:
    return [entry.mount_point for entry in read_mount_table().below(str(directory))]


async def test_a_good_spec_is_mounted_verified_and_gone_again(directory: Path) -> None:
    """Exit code 0 says that it may be published."""
    code, out = await run(directory, *write_spec(directory, "good"), "--check")
    assert (code, "mounted at" in out) == (0, True), out
    assert mounts_in(directory) == []
    assert not (directory / "mounts" / "data").exists()


async def test_a_bad_spec_says_why(directory: Path) -> None:
    """Exit code 1, the reason, and nothing left."""
    code, out = await run(directory, *write_spec(directory, "nowhere"), "--check")
    assert code == 1
    assert "not_found" in out
    assert mounts_in(directory) == []


async def test_without_check_it_stays_until_it_is_interrupted(directory: Path) -> None:
    """For as long as somebody wants to look around in it."""
    process = await start(directory, *write_spec(directory, "good"))
    async with asyncio.timeout(20):
        while "press Ctrl-C" not in await wait_for_file(directory / "out"):
            assert process.returncode is None
        assert (directory / "mounts" / "data" / "hello").read_text() == "tide"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert "gone" in (directory / "out").read_text()
    assert mounts_in(directory) == []


async def test_what_a_killed_try_left_goes_with_the_next(directory: Path) -> None:
    """Whatever that one tries."""
    arguments = write_spec(directory, "good")
    process = await start(directory, *arguments)
    async with asyncio.timeout(20):
        while "press Ctrl-C" not in await wait_for_file(directory / "out"):
            assert process.returncode is None
    process.kill()
    await process.wait()
    assert mounts_in(directory) == [f"{directory}/mounts/data"]
    text = (directory / "spec.toml").read_text().replace("data", "other")
    (directory / "spec.toml").write_text(text)
    code, _ = await run(directory, *arguments, "--check")
    assert code == 0
    assert mounts_in(directory) == []


async def test_the_doctor_finds_a_broker_without_streams(directory: Path, broker: Broker) -> None:
    """Exit code 1, and what to run."""
    code, out = await run(directory, "doctor", "--vm", "vm-7", "--nats", broker.url, "-o", "json")
    findings = {finding["check"]: finding for finding in json.loads(out)}
    assert code == 1
    assert findings["fuse"]["verdict"] == "ok"
    assert findings["backend rclone"]["verdict"] == "ok"
    assert findings["broker"]["verdict"] == "ok"
    assert "weft init" in findings["stream"]["advice"]
    assert findings["agent"]["verdict"] == "note"


async def test_the_doctor_names_an_unreachable_broker_and_wrong_settings(directory: Path) -> None:
    """Every line that asks for something says what."""
    code, out = await run(directory, "doctor", "--vm", "vm-7", "--nats", "nats://127.0.0.1:1")
    assert code == 1
    assert "connection refused" in out
    (directory / "agent.toml").write_text("heartbeat = 3\n")
    code, out = await run(directory, "doctor", "--config", str(directory / "agent.toml"))
    assert code == 1
    assert "heartbeat: there is no such setting" in out
