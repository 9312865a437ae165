"""From ``weft auth init`` to a mounted share: the written configuration, the handed-out credentials, a real agent."""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.mounts.table import read_mount_table
from controlplane import ControlPlane
from controlplane.broker import EmbeddedBroker
from controlplane.cli.app import run
from tests.parts.agent_process import AgentProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("nothing_left")]

PATIENCE_S = 60.0


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wa-", ignore_cleanup_errors=True) as short:
        try:
            yield Path(short)
        finally:
            for entry in reversed(read_mount_table().below(short)):
                subprocess.run(["umount", "-l", entry.mount_point], check=False)


async def weft(*argv: str) -> int:
    """Run ``weft`` beside this test's loop."""
    return await asyncio.to_thread(run, argv)


async def test_a_fleet_with_least_privilege_works_like_one_without(directory: Path) -> None:
    """Every step is what the manual says, and the broker refuses nothing that anybody needed."""
    auth, creds = directory / "auth", directory / "creds"
    assert await weft("auth", "init", "--dir", str(auth)) == 0
    assert await weft("auth", "admin", "root", "--dir", str(auth), "--out", str(creds)) == 0
    assert await weft("auth", "operator", "ann", "--dir", str(auth), "--out", str(creds)) == 0
    assert await weft("auth", "guest", "vm-1", "--dir", str(auth), "--out", str(creds)) == 0
    config = auth / "embedded.conf"  # the embedded broker names the store itself, and then a file may not
    config.write_text(re.sub(r"^ *store_dir.*$", "", (auth / "nats.conf").read_text(), flags=re.MULTILINE))
    async with asyncio.timeout(PATIENCE_S), EmbeddedBroker(directory / "store", config=config) as broker:
        as_ann = ("--server", broker.url, "--creds", str(creds / "ann.creds"))
        assert await weft("init", "--server", broker.url, "--creds", str(creds / "root.creds")) == 0
        agent = AgentProcess(directory, broker.url, vm="vm-1", arguments=("--creds", str(creds / "vm-1.creds")))
        source, mount_point = agent.source("docs"), agent.mounts / "docs"
        async with agent:
            wanted = ("docs", "--from", f"bind:{source}", "--at", str(mount_point), "--vm", "vm-1")
            assert await weft("publish", *wanted, "--wait=30", *as_ann) == 0
            assert (mount_point / "hello.txt").read_text() == "docs"
            assert (await agent.status())["mode"] == "jetstream"
            assert await weft("status", "vm-1", *as_ann) == 0
            assert await weft("unpublish", "docs", "--wait=30", *as_ann) == 0
            await agent.until_states()
            async with ControlPlane.connect(broker.url, creds=creds / "ann.creds") as plane:
                followed = plane.events(vm="vm-1", follow=True)
                kinds = [(await anext(followed)).kind for _ in range(4)]
                assert kinds == ["agent.started", "share.mounting", "share.mounted", "share.unmounting"]
                assert (await anext(followed)).kind == "share.gone"
                await followed.aclose()
        assert "permission.denied" not in agent.log_path.read_text()
