"""What a broker that runs makes of the accounts of a newer weft."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from controlplane.auth.limits import MEMORY_BYTES
from controlplane.auth.roles import Role
from controlplane.jetstream import ask
from controlplane.streams import ensure
from tests.parts.broker import Broker
from tests.parts.realm import Realm

pytestmark = pytest.mark.integration

PATIENCE_S = 20.0


class LittleMemory(Broker):
    """A broker with a limit of its own for what is in memory."""

    def __init__(self, directory: Path, memory: str, *, config: str) -> None:
        super().__init__(directory, config=config)
        self._memory = memory

    def _write_config(self) -> Path:
        path = super()._write_config()
        path.write_text(path.read_text().replace("jetstream {", f"jetstream {{\n{self._memory}\n"))
        return path


async def test_a_running_broker_takes_the_limits_of_a_newer_weft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the memory that the shipped configurations give, at a reload: an older realm had no limit there."""
    realm = Realm(tmp_path)
    jetstream = (realm.auth.path / "nats.conf").read_text().partition("jetstream {")[2]
    memory = next(line for line in jetstream.splitlines() if "max_memory_store" in line)
    with monkeypatch.context() as older:
        older.setattr("controlplane.auth.limits.MEMORY_BYTES", -1)
        realm.auth.init(now_s=time.time())
        realm.broker = LittleMemory(tmp_path / "broker", memory, config=realm.config())
    async with asyncio.timeout(PATIENCE_S), realm.broker, realm.connected(Role.ADMIN, "root") as root:
        await ensure(root)
        realm.auth.init(now_s=time.time())
        realm.broker.reload(realm.config())
        await realm.broker.logged(re.compile(r"Reloaded server configuration"))
        limits = (await ask(root, "INFO"))["limits"]
    assert limits["max_memory"] == MEMORY_BYTES
