"""The stage: broker, S3 server, control plane and guests below one temporary directory, cleared however it ends."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from controlplane.broker import EmbeddedBroker
from controlplane.demo import checks
from controlplane.demo.checks import DemoFailure, Process, Served
from controlplane.demo.s3 import S3Server
from controlplane.local_guest import LocalGuest
from controlplane.plane import ControlPlane
from weft.wire.ids import VmId
from weft.wire.paths import find_objection

CLASS = "algebra"
VMS = tuple(VmId(f"vm-{number}") for number in (1, 2, 3))
LONGEST_PARENT = 30
"""Characters: guests put UNIX sockets below theirs, and the kernel allows those 107."""
UMOUNT_S = 5.0
LAST_LINES = 4
_FOREIGN = ("WEFT_", "NATS_", "RCLONE_", "NOTIFY_")
"""Settings of this shell that are not meant for guests of a demonstration."""


class Stage:
    """
    Everything the story plays with; ``async with`` it, and nothing of it stays, however the story ends.

    Attributes:
        directory: Where everything lies.
        buckets: Directory whose directories are the S3 server's buckets.
    """

    def __init__(self) -> None:
        self.directory = Path()
        self._stack = AsyncExitStack()
        self._plane: ControlPlane | None = None
        self._s3: S3Server | None = None
        self._broker: EmbeddedBroker | None = None
        self._guests: dict[VmId, LocalGuest] = {}
        self._seen: set[Process] = set()

    @property
    def buckets(self) -> Path:
        """Return the directory whose directories are the buckets."""
        return self.directory / "s3"

    @property
    def plane(self) -> ControlPlane:
        """Return the operator's side."""
        assert self._plane is not None, "the story begins with it"
        return self._plane

    @property
    def s3(self) -> S3Server:
        """Return the S3 server."""
        assert self._s3 is not None, "the story begins with it"
        return self._s3

    async def start_broker(self) -> str:
        """Start a broker with a store of its own, connect to it, and return its address."""
        self._broker = await self._stack.enter_async_context(EmbeddedBroker(self.directory / "broker"))
        self._plane = await self._stack.enter_async_context(ControlPlane.connect(self._broker.url))
        await self._plane.init()
        return self._broker.url

    async def start_s3(self) -> str:
        """Start the S3 server and return its address."""
        self._s3 = await self._stack.enter_async_context(S3Server(self.buckets))
        return self._s3.url

    async def start_guest(self, vm: VmId) -> int:
        """Start the agent of *vm*, for the first time or again, and return its pid when it has reported."""
        guest = self._guests.get(vm) or self._make_guest(vm)
        await guest.start(self.plane.link)
        assert guest.pid is not None, "it has just reported"
        return guest.pid

    async def kill_agent(self, vm: VmId) -> int:
        """End the agent of *vm* as a crash would, and return the pid it had."""
        guest = self._guests[vm]
        pid = guest.pid
        assert pid is not None, "only a running one is killed"
        self._remember()
        await guest.kill()
        return pid

    async def end(self) -> dict[VmId, int]:
        """End agents, S3 server and broker as an operator would, and return the agents' exit codes."""
        self._remember()
        ended = await asyncio.gather(*(guest.stop() for guest in self._guests.values()))
        await self._stack.aclose()
        return dict(zip(self._guests, ended, strict=True))

    def mount_point(self, vm: VmId | str, share_id: str) -> Path:
        """Say where *vm* has a share; ``{vm}`` for what is published."""
        return self.directory / vm / "shares" / share_id

    def served(self, vm: VmId, share_id: str) -> Served:
        """
        Return the mount and the client of a share.

        Raises:
            DemoFailure: It is not mounted exactly once, by one client.
        """
        found = checks.observe(self.mount_point(vm, share_id))
        if found is None:
            raise DemoFailure(f"cannot find one mount and one client of {share_id} in {vm}")
        return found

    async def alarm(self) -> None:
        """
        Watch the agents that run now, until nobody is left to watch.

        Raises:
            DemoFailure: One ended, and nobody ended it.
        """
        await asyncio.gather(
            *(self._watch(vm, guest.pid) for vm, guest in self._guests.items() if guest.pid is not None)
        )

    async def _watch(self, vm: VmId, pid: int) -> None:
        guest = self._guests[vm]
        code = await guest.ended()
        if guest.pid == pid:  # who ends an agent forgets it first
            raise DemoFailure(f"the agent of {vm} ended by itself, with exit code {code}")

    def last_lines(self) -> list[str]:
        """Return what each agent logged last."""
        lines = []
        for vm in self._guests:
            log = self._log_of(vm)
            said = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.is_file() else []
            lines += [f"{vm}: {line}" for line in said]
        return lines

    async def leftovers(self) -> list[str]:
        """Name every mount, process and directory that is still there; processes get a moment to end."""
        await _all_ended(self._processes())
        return list(self._remains())

    def _remains(self) -> Iterator[str]:
        yield from (f"mount {mount.mount_point}" for mount in checks.mounts_below(self.directory))
        yield from (f"process {process.pid}" for process in self._processes())
        if self.directory.exists():
            yield f"directory {self.directory}"

    def _processes(self) -> set[Process]:
        return checks.processes_of(self.directory) | {process for process in self._seen if checks.is_alive(process)}

    def _remember(self) -> None:
        """Note what the agents have started, to know later whether it ended."""
        for guest in self._guests.values():
            if guest.pid is not None:
                self._seen |= checks.descendants_of(guest.pid)

    def _make_guest(self, vm: VmId) -> LocalGuest:
        assert self._broker is not None, "guests come after the broker"
        home = self.directory / vm
        shares = home / "shares"
        shares.mkdir(parents=True)
        settings = home / "agent.toml"
        settings.touch()  # or it would read this machine's own
        guest = LocalGuest(
            vm,
            self._broker.url,
            home,
            arguments=("--config", str(settings), "--allow", str(shares)),
            environ={name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)},
            log=self._log_of(vm),
        )
        self._guests[vm] = guest
        return guest

    def _log_of(self, vm: VmId) -> Path:
        return self.directory / vm / "agent.log"

    async def __aenter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="weft-demo-", dir=_parent_directory()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._clear_guests()
        finally:
            await self._stack.aclose()
        if not checks.mounts_below(self.directory):
            shutil.rmtree(self.directory, ignore_errors=True)  # what stays is told as a leftover

    async def _clear_guests(self) -> None:
        """End agents first, which would mount again, then clients, which frees who waits for a mount, then mounts."""
        self._remember()
        for guest in self._guests.values():
            await guest.kill()
        clients = self._processes() - checks.descendants_of(os.getpid())  # broker and S3 server end in their own way
        for process in clients:
            checks.end(process)
        for mount in reversed(checks.mounts_below(self.directory)):
            await _detach(mount.mount_point)
        await _all_ended(clients)


def _parent_directory() -> str:
    """Return the system's temporary directory, unless guests could not mount or make sockets below it."""
    parent = os.path.realpath(tempfile.gettempdir())
    is_plain = re.fullmatch(r"[\w./-]+", parent, re.ASCII) is not None
    return parent if is_plain and len(parent) <= LONGEST_PARENT and find_objection(parent) is None else "/tmp"


async def _all_ended(processes: Collection[Process]) -> bool:
    """Give *processes* a moment to end, and say whether they did."""
    try:
        await checks.until(lambda: None if any(map(checks.is_alive, processes)) else True, "the end of every process")
    except DemoFailure:
        return False
    return True


async def _detach(mount_point: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *("umount", "-l", "--no-canonicalize", mount_point),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(UMOUNT_S):
            await process.wait()
    except TimeoutError:
        process.kill()  # what stays is told as a leftover
