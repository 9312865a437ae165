"""A driver from another package, installed on both sides, on one, and broken."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.example_driver import install

pytestmark = pytest.mark.integration


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory for a guest; sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="wf-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """The example driver, installed."""
    (tmp_path / "packages").mkdir()
    return install(tmp_path / "packages")


async def weft(broker: Broker, home: Path, *argv: str, packages: Path | None = None) -> tuple[int, str, str]:
    """Run one command of an operator whose Python finds *packages* too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "controlplane.cli", *argv),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "NATS_URL": broker.url,
            "PYTHONPATH": os.pathsep.join([os.getcwd(), *([str(packages)] if packages else [])]),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_a_foreign_backend_goes_from_the_operator_to_a_mount(
    broker: Broker, short: Path, tmp_path: Path, packages: Path
) -> None:
    """Published field by field and as a file, mounted by the guest, shown in every listing."""
    assert (await weft(broker, tmp_path, "init"))[0] == 0
    async with AgentProcess(short, broker.url, packages=(packages,)) as agent:
        status = await agent.until(lambda status: "tmpfs" in status["agent"].get("backends", {}))
        assert status["agent"]["backends"]["tmpfs"] is None
        at = agent.mounts / "scratch"
        wanted = ("--set", "backend=tmpfs", "--set", "tmpfs.size_mb=4", "--at", str(at), "--vm", "vm-7", "--wait")
        assert (await weft(broker, tmp_path, "publish", "scratch", *wanted, packages=packages))[0] == 0
        (entry,) = read_mount_table().at(str(at))
        assert (entry.fs_type, entry.source.startswith("weft:scratch:")) == ("tmpfs", True)
        _, shown, _ = await weft(broker, tmp_path, "info", "scratch", "-o", "json", packages=packages)
        assert json.loads(shown)["share"]["tmpfs"] == {"size_mb": 4}

        share = {"id": "more", "backend": "tmpfs", "mount_point": str(agent.mounts / "more"), "tmpfs": {"size_mb": 2}}
        (tmp_path / "more.json").write_text(json.dumps(share))
        code, _, err = await weft(
            broker, tmp_path, "publish", str(tmp_path / "more.json"), "--vm", "vm-7", "--wait", packages=packages
        )
        assert (code, "unknown" in err) == (0, False), err
        for share_id in ("scratch", "more"):
            assert (await weft(broker, tmp_path, "unpublish", share_id, "--wait", packages=packages))[0] == 0
        assert read_mount_table().at(str(at)) == ()


async def test_a_guest_without_the_driver_rejects_only_that_share(
    broker: Broker, short: Path, tmp_path: Path, packages: Path
) -> None:
    """Its other shares are mounted, and the operator reads which backends it knows."""
    await weft(broker, tmp_path, "init")
    async with AgentProcess(short, broker.url) as agent:
        source = f"bind:{agent.source('good')}"
        at = str(agent.mounts / "good")
        await weft(broker, tmp_path, "publish", "good", "--from", source, "--at", at, "--vm", "vm-7", "--wait")
        code, out, _ = await weft(
            broker,
            tmp_path,
            *("publish", "scratch", "--set", "backend=tmpfs", "--at", str(agent.mounts / "scratch")),
            *("--vm", "vm-7", "--wait=20"),
            packages=packages,
        )
        assert code == 3
        assert "known are cubefs, rclone, nfs, virtiofs, virtio9p, bind" in out
        assert (await agent.states())["good"] == "mounted"
        await weft(broker, tmp_path, "unpublish", "scratch", packages=packages)
        await weft(broker, tmp_path, "unpublish", "good", "--wait")


async def test_an_operator_without_the_driver_is_told(broker: Broker, tmp_path: Path) -> None:
    """Nothing is published that nobody here could check."""
    await weft(broker, tmp_path, "init")
    code, _, err = await weft(broker, tmp_path, "publish", "scratch", "--set", "backend=tmpfs", "--vm", "vm-7")
    assert code != 0
    assert "cannot use backend 'tmpfs': known are cubefs," in err


async def test_a_driver_that_cannot_be_loaded_says_why(broker: Broker, tmp_path: Path, packages: Path) -> None:
    """To whoever asks for its backend, and to nobody else."""
    (packages / "weft_tmpfs" / "__init__.py").write_text("import a_module_that_is_missing\n")
    assert (await weft(broker, tmp_path, "init", packages=packages))[0] == 0
    wanted = ("publish", "scratch", "--set", "backend=tmpfs", "--vm", "vm-7")
    code, _, err = await weft(broker, tmp_path, *wanted, packages=packages)
    assert code != 0
    assert "cannot load driver 'tmpfs'" in err
    assert "a_module_that_is_missing" in err
    assert (await weft(broker, tmp_path, "list", packages=packages))[0] == 0


async def test_a_guest_whose_driver_is_broken_mounts_everything_else(
    broker: Broker, short: Path, tmp_path: Path, packages: Path
) -> None:
    """The share that needs it is rejected with the reason; the agent starts all the same."""
    await weft(broker, tmp_path, "init")
    whole = tmp_path / "whole"
    whole.mkdir()
    install(whole)
    (packages / "weft_tmpfs" / "__init__.py").write_text("import a_module_that_is_missing\n")
    async with AgentProcess(short, broker.url, packages=(packages,)) as agent:
        good = ("--from", f"bind:{agent.source('good')}", "--at", str(agent.mounts / "good"), "--vm", "vm-7")
        assert (await weft(broker, tmp_path, "publish", "good", *good, "--wait", packages=whole))[0] == 0
        scratch = ("--set", "backend=tmpfs", "--at", str(agent.mounts / "scratch"), "--vm", "vm-7", "--wait=20")
        code, out, _ = await weft(broker, tmp_path, "publish", "scratch", *scratch, packages=whole)
        assert code == 3
        assert "a_module_that_is_missing" in out
        assert await agent.states() == {"good": "mounted", "scratch": "rejected"}
        assert '"event": "driver.refused"' in agent.log_path.read_text().replace('":"', '": "')
        for share_id in ("scratch", "good"):
            await weft(broker, tmp_path, "unpublish", share_id, "--wait", packages=whole)
