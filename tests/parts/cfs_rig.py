"""One volume and the clients that mount it: configured, started, watched and always taken down."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.parts.cubefs import CubefsCluster

VOLUME = "team-data"
OWNER = "team_alpha"
START_S = 20.0


class CfsRig:
    """A cluster with one volume, and clients started on mount points below a temporary directory."""

    def __init__(self, directory: Path, cluster: CubefsCluster) -> None:
        self.directory = directory
        self.cluster = cluster
        self.mount_point = directory / "mnt"
        self.log_dir = directory / "log"
        self.clients: list[asyncio.subprocess.Process] = []

    @property
    def output_log(self) -> str:
        return (self.log_dir / "client/client/output.log").read_text()

    @property
    def pid_file(self) -> Path:
        return self.log_dir / "client/fuseclient.pid"

    def configuration(self, **changes: object) -> Path:
        """Write a configuration with *changes* and return its path."""
        options: dict[str, object] = {
            "mountPoint": str(self.mount_point),
            "volName": VOLUME,
            "owner": OWNER,
            "masterAddr": ",".join(self.cluster.masters),
            "logDir": str(self.log_dir),
            "locallyProf": True,
            "exporterEnable": False,
        }
        path = self.directory / "client.json"
        path.write_text(json.dumps(options | changes))
        return path

    async def spawn(self, *arguments: str | Path, env: dict[str, str] | None = None, fds: tuple[int, ...] = ()) -> None:
        """Start a client, its stdout in a file."""
        with (self.directory / "stdout").open("wb") as out:
            client = await asyncio.create_subprocess_exec(
                self.cluster.client, *arguments, stdout=out, stderr=out, env=env, pass_fds=fds
            )
        self.clients.append(client)

    async def run(self, *arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a client to its end and return its exit code and output."""
        await self.spawn(*arguments, env=env)
        code = await self.exit_code()
        return code, (self.directory / "stdout").read_text()

    async def exit_code(self) -> int:
        async with asyncio.timeout(START_S):
            return await self.clients[-1].wait()

    async def mount(self, *flags: str, **changes: object) -> str:
        """Start a foreground client, wait for its mount, and return its line in mountinfo."""
        reading, writing = os.pipe()
        env = {"PATH": os.environ["PATH"], "DAEMONIZE_STATUS_FD": str(writing)}
        await self.spawn("-f", "-c", self.configuration(**changes), *flags, env=env, fds=(writing,))
        os.close(writing)
        message = await asyncio.wait_for(asyncio.to_thread(_read_all, reading), START_S)
        assert message.endswith(b"\x01\x01\x00"), message
        return self.lines()[-1]

    def lines(self) -> list[str]:
        """The mountinfo lines of the mount point."""
        name = str(self.mount_point).replace(" ", "\\040")
        return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if line.split()[4] == name]

    async def unmount(self, *options: str) -> None:
        done = await asyncio.create_subprocess_exec("umount", *options, self.mount_point)
        assert await done.wait() == 0

    async def close(self) -> None:
        for client in self.clients:
            if client.returncode is None:
                client.kill()
                await client.wait()
        while self.lines():
            await self.unmount("-l")


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[CfsRig]:
    """A cluster with the volume "team-data" of "team_alpha", and no client yet."""
    async with CubefsCluster(tmp_path) as cluster:
        cluster.add_volume(VOLUME, owner=OWNER)
        rig = CfsRig(tmp_path, cluster)
        try:
            yield rig
        finally:
            await rig.close()


async def access(path: Path) -> int:
    """Return the errno of a stat and a listing of *path*, 0 when both work; off the loop, as a mount may hang."""

    def ask() -> int:
        try:
            os.stat(path)
            os.listdir(path)
        except OSError as error:
            return error.errno or -1
        return 0

    return await asyncio.wait_for(asyncio.to_thread(ask), START_S)


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()
