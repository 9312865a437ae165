"""One guest: booted, asked, cut off, rebooted, robbed of its power and torn down, through systemd-nspawn."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.guest.cgroup import Cgroup
from tests.guest.network import BRIDGE, Port, network_unit
from tests.guest.overlay import Overlay
from tests.guest.readiness import Readiness
from tests.guest.rootfs import NETWORK_UNIT

BOOT_S = 60.0
COMMAND_S = 30.0
OFF_S = 30.0
REBOOT_WANTED = 133
"""How nspawn ends when its guest asked for a reboot."""
FUSE_DEVICE = (10, 229)
HOST_IDENTITY = (Path("/sys/devices/virtual/dmi/id"),)
"""What all guests would take for their own."""
ENVIRONMENT = {"PATH": "/opt/weft/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}


class GuestCommandError(Exception):
    """A command in a guest failed; the text has what it wrote."""


class Guest:
    """
    A Debian machine of its own: own files over shared layers, own processes, cgroup, cable and FUSE device.

    Args:
        name: Its machine and host name, at most 12 characters.
        layers: Directories below its own files, the uppermost first.
        directory: Where its own files go; they live until the directory goes.
        address: Its end of the network.
        cgroup: Name of its cgroup, unique on this machine.
        shown: Directories of this machine that it sees read-only, by their path inside.
    """

    def __init__(
        self,
        name: str,
        *,
        layers: Sequence[Path],
        directory: Path,
        address: IPv4Interface,
        cgroup: str,
        shown: dict[str, Path] | None = None,
    ) -> None:
        self.name = name
        self.directory = directory
        self.port = Port(f"vb-{name}")
        self._files = Overlay(directory, layers=layers)
        self._address = address
        self._cgroup = Cgroup(cgroup)
        self._shown = shown or {}
        self._nspawn: asyncio.subprocess.Process | None = None
        self._leader = 0

    @property
    def root(self) -> Path:
        """Its root directory as this machine sees it; not what is mounted inside."""
        return self._files.root

    @property
    def own_files(self) -> Path:
        """What differs from its layers; a layer for other guests once it is off."""
        return self._files.upper

    @property
    def is_on(self) -> bool:
        """Whether it runs."""
        return self._nspawn is not None and self._nspawn.returncode is None

    async def __aenter__(self) -> Self:
        self._files.mount()
        try:
            self._cgroup.make()
            os.mknod(self._fuse_device, 0o666 | 0o020000, os.makedev(*FUSE_DEVICE))
            os.chmod(self._fuse_device, 0o666)
            self.write(NETWORK_UNIT, network_unit(self._address))
        except BaseException:
            self._files.unmount()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.cut_power()
        finally:
            self._files.unmount()
            self._cgroup.remove()

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write one of its files, running or not; not below a mount such as /run."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    async def boot(self) -> None:
        """Start it and wait until its systemd says that everything which starts at boot has started."""
        assert not self.is_on, f"{self.name} is running"
        async with Readiness(self.directory / "notify") as readiness:
            self._nspawn = await self._start(readiness.path)
            ended = asyncio.create_task(self._nspawn.wait())
            waiting: set[asyncio.Future[Any]] = {readiness.booted, ended}
            try:
                await asyncio.wait(waiting, timeout=BOOT_S, return_when=asyncio.FIRST_COMPLETED)
                assert readiness.booted.done(), f"{self.name} did not boot:\n{self.console()}\n{self.journal()}"
                self._leader = readiness.leader.result()
            finally:
                ended.cancel()

    async def run(self, *command: str, user: str = "root", deadline_s: float = COMMAND_S) -> str:
        """
        Run a command inside and return what it wrote to its standard output.

        Raises:
            GuestCommandError: it ended with another code than 0, or not in time.
        """
        code, out, err = await self.attempt(*command, user=user, deadline_s=deadline_s)
        if code != 0:
            raise GuestCommandError(f"{self.name}: {' '.join(command)}: exit code {code}\n{out}{err}")
        return out

    async def attempt(self, *command: str, user: str = "root", deadline_s: float = COMMAND_S) -> tuple[int, str, str]:
        """
        Run a command inside that may fail.

        Returns:
            Its exit code, standard output and standard error.

        Raises:
            GuestCommandError: it did not end in time; it is killed and, where it is stuck in the kernel, left behind.
        """
        assert self.is_on, f"{self.name} is off"
        as_user = () if user == "root" else ("runuser", "-u", user, "--")
        settings = (f"{key}={value}" for key, value in ENVIRONMENT.items())
        process = await asyncio.create_subprocess_exec(
            *("nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--"),
            *("env", "-i", *settings, *as_user, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(deadline_s):
                out, err = await process.communicate()
        except TimeoutError as exc:
            process.kill()
            raise GuestCommandError(f"{self.name}: {' '.join(command)}: no end after {deadline_s} s") from exc
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")

    async def power_off(self, *, deadline_s: float = OFF_S) -> None:
        """Shut it down in an orderly way, within *deadline_s*."""
        assert await self._end("poweroff", deadline_s) == 0, self.console()

    async def reboot(self, *, deadline_s: float = OFF_S) -> None:
        """Let it reboot by itself, and wait until it is up again."""
        assert await self._end("reboot", deadline_s) == REBOOT_WANTED, self.console()
        await self.boot()

    async def cut_power(self) -> None:
        """Take the power away: nothing inside gets to say goodbye. Nothing happens when it is off."""
        if self._nspawn is None:
            return
        if self.is_on:
            os.kill(self._leader or self._nspawn.pid, signal.SIGKILL)
            try:
                async with asyncio.timeout(OFF_S):
                    await self._nspawn.wait()
            except TimeoutError:
                self._nspawn.kill()
                await self._nspawn.wait()
        self._nspawn, self._leader = None, 0

    def console(self) -> str:
        """Return the last lines of its console."""
        path = self.directory / "console"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def journal(self, *arguments: str) -> str:
        """Return its journal, all boots, as journalctl with *arguments* prints it; works when it is off, too."""
        command = ["journalctl", "--quiet", "--no-pager", f"--directory={self.root}/var/log/journal", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    async def _start(self, notify_socket: Path) -> asyncio.subprocess.Process:
        with (self.directory / "console").open("ab") as console:
            return await asyncio.create_subprocess_exec(
                *self._cgroup.entering(self._command()),
                env={
                    "PATH": os.environ["PATH"],
                    "NOTIFY_SOCKET": str(notify_socket),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=console,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def _end(self, verb: str, deadline_s: float) -> int:
        assert self._nspawn is not None, f"{self.name} is off"
        await self.attempt("systemctl", "--no-block", verb)
        async with asyncio.timeout(deadline_s):
            code = await self._nspawn.wait()
        self._nspawn, self._leader = None, 0
        return code

    @property
    def _fuse_device(self) -> Path:
        return self.directory / "fuse"

    def _command(self) -> list[str]:
        return [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.root}",
            f"--machine={self.name}",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--console=pipe",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--notify-ready=yes",
            f"--network-bridge={BRIDGE}",
            f"--bind={self._fuse_device}:/dev/fuse",
            *(f"--inaccessible={path}" for path in HOST_IDENTITY if path.exists()),
            *(f"--bind-ro={origin}:{inside}" for inside, origin in self._shown.items()),
        ]
