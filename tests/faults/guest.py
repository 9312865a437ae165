"""A guest with a real agent, somebody who publishes to it, and hands that break what it has."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from agent.mounts.mountinfo import MountEntry
from agent.mounts.table import read_mount_table
from tests.parts.agent_process import AgentProcess
from tests.parts.cubefs import CubefsCluster
from tests.parts.shares import encoded_set
from weft.wire.share import ShareMount, parse_share
from weft.wire.subjects import subject

WAIT_S = 20.0


class FaultyGuest:
    """
    One guest.

    Args:
        agent: Its agent, not yet started.
        nc: The publisher's connection.
    """

    def __init__(self, agent: AgentProcess, nc: Client) -> None:
        self.agent = agent
        self.nc = nc
        self.revision = 0
        self._log_read = 0

    # --- what is wanted -------------------------------------------------------------------------------------------

    def rclone(
        self,
        name: str,
        at: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        path: str | None = None,
        **fields: Any,
    ) -> ShareMount:
        """Build an rclone share; without *config* it shows a directory of the guest with the file ``hello.txt``."""
        config = {"type": "local"} if config is None else config
        options = fields.pop("options", {})
        if path is None:
            path = str(self.agent.source(name)) if config["type"] == "local" else ""
        block = {"type": config["type"], "path": path, "config": config, "options": options}
        return parse_share(
            {"id": name, "backend": "rclone", "mount_point": str(self.at(at or name)), "rclone": block} | fields
        )

    def cubefs(self, name: str, cluster: CubefsCluster, *, volume: str = "team", owner: str = "alpha") -> ShareMount:
        """Build a CubeFS share."""
        block = {"volume": volume, "masters": cluster.masters, "owner": owner}
        return parse_share({"id": name, "mount_point": str(self.at(name)), "cubefs": block})

    def bind(self, name: str, source: Path | None = None, **fields: Any) -> ShareMount:
        """Build a bind share; its source has the file ``hello.txt`` unless given."""
        where = {"source": str(source or self.agent.source(name))}
        return parse_share({"id": name, "backend": "bind", "mount_point": str(self.at(name)), "bind": where} | fields)

    def at(self, name: str) -> Path:
        """Return the path of a mount point below the guest's root."""
        return self.agent.mounts / name

    async def publish(self, *shares: ShareMount) -> None:
        """Have the broker store a new list."""
        self.revision += 1
        await self.store(encoded_set(self.revision, *shares, vm=self.agent.vm))

    async def store(self, data: bytes) -> None:
        """Have the broker store anything as this guest's message."""
        await self.nc.jetstream().publish(subject(self.agent.vm), data)

    async def settle(self, *shares: ShareMount) -> None:
        """Publish a new list, and wait until exactly its shares are mounted."""
        await self.publish(*shares)
        revision = self.revision
        wanted = {share.id: "mounted" for share in shares}
        await self.agent.until(
            lambda status: status["held_revision"] == revision and states_of(status) == wanted, deadline_s=WAIT_S
        )

    async def until_mounted(self, *names: str) -> None:
        """Wait until exactly these shares are mounted."""
        await self.agent.until_states(**dict.fromkeys(names, "mounted"))

    # --- what is there --------------------------------------------------------------------------------------------

    def pid_of(self, name: str) -> int:
        """Return the client of a share, as the ledger has it; 0 while there is none."""
        path = self.agent.state_dir / "live.json"
        live = json.loads(path.read_text())["live"] if path.exists() else []
        return next((each["process"]["pid"] for each in live if each["share"]["id"] == name and each["process"]), 0)

    def entries_at(self, name: str) -> tuple[MountEntry, ...]:
        """Return what the kernel shows at a mount point: two entries are a stack."""
        return read_mount_table().at(str(self.at(name)))

    async def read(self, name: str, file: str = "hello.txt") -> str:
        """Read a file of a share, off the loop."""
        return await asyncio.to_thread((self.at(name) / file).read_text)

    async def write(self, name: str, file: str, text: str) -> None:
        """Write a file into a share, off the loop."""
        await asyncio.to_thread((self.at(name) / file).write_text, text)

    async def until_replaced(self, name: str, old_pid: int) -> None:
        """Wait until another client serves a share."""
        await self.agent.until(
            lambda status: states_of(status).get(name) == "mounted" and self.pid_of(name) not in (0, old_pid)
        )

    # --- what is said ---------------------------------------------------------------------------------------------

    def forget_log(self) -> None:
        """Let :meth:`logged` look only at what the agent logs from now on."""
        self._log_read = self.agent.log_path.stat().st_size

    async def logged(self, event: str, **values: Any) -> dict[str, Any]:
        """Wait until the agent has logged *event* with these values, and return its line."""
        async with asyncio.timeout(WAIT_S):
            while True:
                for line in self._log_lines():
                    if line["event"] == event and values.items() <= line.items():
                        return line
                await asyncio.sleep(0.002)  # the writer is another process

    def _log_lines(self) -> Iterator[dict[str, Any]]:
        with self.agent.log_path.open("rb") as log:
            log.seek(self._log_read)
            for line in log.read().split(b"\n")[:-1]:
                if line.startswith(b"{"):
                    yield json.loads(line)

    async def doctor(self) -> str:
        """Return what ``weft-agent doctor`` says on this guest."""
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": self.agent.python_path} | self.agent.environ
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agent", "doctor", "--vm", self.agent.vm, "--nats", self.agent.url),
            *("--run-dir", str(self.agent.run_dir), "--state-dir", str(self.agent.state_dir)),
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(WAIT_S):
            said, _ = await command.communicate()
        return said.decode()

    # --- what goes wrong ------------------------------------------------------------------------------------------

    def kill_client(self, name: str) -> int:
        """Kill a client, which leaves a dead mount, and return its pid."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop_client(self, name: str) -> int:
        """Stop a client, which leaves a hung mount, and return its pid."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGSTOP)
        return pid

    def unmount_behind(self, name: str) -> None:
        """Unmount as somebody else would."""
        subprocess.run(["umount", "-l", self.at(name)], check=True)

    def stack(self, name: str) -> None:
        """Mount what is at a path a second time upon itself."""
        subprocess.run(["mount", "--bind", self.at(name), self.at(name)], check=True)

    def remount(self, name: str, options: str) -> None:
        """Change the options of a mount, as an administrator may."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.at(name)], check=True)

    @contextmanager
    def foreign_mount(self, name: str) -> Iterator[None]:
        """Have somebody else's file system at a path, with one file in it."""
        self.at(name).mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "foreign", self.at(name)], check=True)
        try:
            (self.at(name) / "theirs").write_text("theirs")
            yield
        finally:
            subprocess.run(["umount", "-l", self.at(name)], check=True)


def is_running(pid: int) -> bool:
    """Say whether *pid* is a process; a zombie, which has no command line, is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def states_of(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the state of each share, by id."""
    return {share["id"]: share["state"] for share in status["shares"]}


def error_of(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what the status says is wrong with a share, empty where nothing is."""
    return next((share.get("error") or {} for share in status["shares"] if share["id"] == name), {})


def codes_of(status: Mapping[str, Any]) -> dict[str, str]:
    """Return the error code of each share that has one, by id."""
    return {share["id"]: share["error"]["code"] for share in status["shares"] if share.get("error")}
