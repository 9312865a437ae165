"""A fleet of real parts: broker, control plane, agents and backends, and a hand that does to them what was drawn."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, assert_never

from agent.mounts.table import MountTableWatcher
from controlplane import ControlPlane
from controlplane.projection import VM_PLACEHOLDER
from controlplane.results import FanOut
from tests.chaos.actions import (
    Action,
    Begin,
    Damage,
    DamageLedger,
    End,
    EndAgent,
    KillClient,
    Let,
    Outage,
    Publish,
    PurgeStream,
    SetClass,
    StartAgent,
    StopClient,
    UnmountBehind,
    Unpublish,
    Write,
)
from tests.chaos.backends import VOLUME, Backends
from tests.chaos.files import WrittenFiles
from tests.chaos.model import CLASSES, World
from tests.parts.agent_process import AgentProcess
from tests.parts.broker import Broker
from tests.parts.processes import wait_until_ended
from weft.errors import BrokerError
from weft.wire.subjects import MOUNTS_STREAM, subject

T = TypeVar("T")
OFTEN = {"WEFT_PROBE_INTERVAL_S": "1", "WEFT_PROBE_DEADLINE_S": "1", "WEFT_HEARTBEAT_S": "5"}
OPERATOR_S = 20.0
ANSWER_S = 5.0
COMMAND_S = 10.0


class Stage:
    """
    One fleet.

    Args:
        directory: A temporary directory with a short path.
        vms: Its guests.
    """

    def __init__(self, directory: Path, vms: tuple[str, ...]) -> None:
        self.directory = directory
        self.vms = vms
        self.broker = Broker(directory / "broker")
        self.backends = Backends(directory)
        self.table = MountTableWatcher()
        self.files = WrittenFiles()
        self.agents: dict[str, AgentProcess] = {}
        self._stack = AsyncExitStack()
        self._plane: ControlPlane | None = None
        self._outages: set[Outage] = set()
        self._down: set[str] = set()
        self._doomed: set[int] = set()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.broker)
            await stack.enter_async_context(self.backends)
            stack.enter_context(self.table)
            self._plane = await stack.enter_async_context(ControlPlane.connect(self.broker.url, operator="chaos"))
            await self._plane.init()
            for name in CLASSES:
                await self._plane.create_class(name)
                await self._plane.set_members(name, self.vms)
            for vm in self.vms:
                self.agents[vm] = await stack.enter_async_context(self._new_agent(vm))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def plane(self) -> ControlPlane:
        """The operator's side."""
        assert self._plane is not None, "the stage was entered"
        return self._plane

    def root(self, vm: str) -> Path:
        """Return where a guest's mount points are."""
        return self.directory / vm / "mnt"

    def live(self, vm: str) -> list[dict[str, Any]]:
        """Return what a guest remembers of its mounts."""
        path = self.agents[vm].state_dir / "live.json"
        try:
            live: list[dict[str, Any]] = json.loads(path.read_text())["live"]
        except (FileNotFoundError, ValueError):
            return []
        return live

    def pid_of(self, vm: str, name: str) -> int | None:
        """Return the client of a share, as far as its agent has noted one."""
        found = (each["process"] for each in self.live(vm) if each["share"]["id"] == name)
        process = next(found, None)
        return None if process is None else int(process["pid"])

    # --- what happens -----------------------------------------------------------------------------------------------

    async def perform(self, action: Action, world: World) -> None:
        """
        Let *action* happen.

        Args:
            action: What.
            world: What operators had asked for before it.
        """
        match action:
            case Publish(share):
                share_mount = self.backends.build(share, str(self.root(VM_PLACEHOLDER)))
                await self._operate(
                    lambda: self.plane.publish(
                        share_mount, classes=share.classes, vms=share.vms, only=True, assume_yes=True
                    )
                )
            case Unpublish(name):
                await self._operate(lambda: self._unpublish(name))
            case SetClass(name, vms):
                await self._operate(lambda: self.plane.set_members(name, sorted(vms), assume_yes=True))
            case Write(vm, name, file):
                place = self.root(vm) / world.shares[name].place
                await self.files.write(vm, world.shares[name], place, file)
            case EndAgent(vm, is_killed):
                self._down.add(vm)
                await self.agents[vm].stop(signal.SIGKILL if is_killed else signal.SIGTERM)
            case StartAgent(vm):
                await self._start_agent(vm)
            case DamageLedger(vm, document, damage):
                _damage(self.agents[vm].state_dir / document.value, damage)
            case KillClient(vm, name):
                self._doom(self._signal_client(vm, name, signal.SIGKILL))
            case StopClient(vm, name, is_for_good):
                pid = self._signal_client(vm, name, signal.SIGSTOP)
                if is_for_good:
                    self._doom(pid)
                elif pid is not None:
                    os.kill(pid, signal.SIGCONT)
            case UnmountBehind(vm, name):
                await self._unmount_behind(vm, name)
            case Begin(outage):
                await self._begin(outage)
            case End(outage):
                await self._end(outage)
            case PurgeStream():
                await self._operate(self._purge)
            case Let(seconds):
                await asyncio.sleep(seconds)  # nothing is waited for: the next fault is to strike at another moment
            case _:
                assert_never(action)

    async def recover(self, *, is_purged: bool) -> None:
        """End every outage, start every agent, and have an operator repair a stream that lost something."""
        for outage in sorted(self._outages):
            await self._end(outage)
        for vm in sorted(self._down):
            await self._start_agent(vm)
        if is_purged:
            await self._operate(lambda: self.plane.sync(assume_yes=True))

    def is_standing(self, vm: str, places: Collection[str]) -> bool:
        """Say whether exactly *places* are mounted in a guest, and nothing is left of clients that cannot go on."""
        root = f"{self.root(vm)}/"
        seen = [entry.mount_point for entry in self.table.refresh().entries if entry.mount_point.startswith(root)]
        pids = {each["process"]["pid"] for each in self.live(vm) if each["process"] is not None}
        return {root + place for place in places} == set(seen) and not pids & self._doomed

    async def doomed_ended(self, *, deadline_s: float) -> None:
        """Wait until every client that cannot go on is gone."""
        async with asyncio.timeout(deadline_s):
            for pid in sorted(self._doomed):
                await wait_until_ended(pid, deadline_s=deadline_s)
        self._doomed.clear()

    # --- operators --------------------------------------------------------------------------------------------------

    async def stored(self, vm: str) -> bytes:
        """Return what the stream has for a guest; nothing where it has nothing."""
        answer = await self._patiently(
            lambda: self.plane.link.request(f"$JS.API.DIRECT.GET.{MOUNTS_STREAM}.{subject(vm)}", timeout_s=ANSWER_S)
        )
        return answer.data

    async def _operate(self, do: Callable[[], Awaitable[FanOut | None]]) -> None:
        """Have an operator do something until all of it is done: what a lost broker answered may be anything."""
        async with asyncio.timeout(OPERATOR_S):
            while (fan_out := await self._patiently(do)) is not None and not fan_out.is_complete:
                continue

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        """Try again until the broker is there."""
        async with asyncio.timeout(OPERATOR_S):
            while True:
                try:
                    await self.plane.link.wait_connected(OPERATOR_S)
                    return await do()
                except BrokerError:
                    continue

    async def _unpublish(self, name: str) -> FanOut | None:
        if name not in {record.share.id for record in await self.plane.shares()}:
            return None  # the try before this one did it
        return await self.plane.unpublish(name, assume_yes=True)

    async def _purge(self) -> None:
        answer = await self.plane.link.request(f"$JS.API.STREAM.PURGE.{MOUNTS_STREAM}", timeout_s=ANSWER_S)
        assert json.loads(answer.data)["success"], answer.data

    # --- guests -----------------------------------------------------------------------------------------------------

    def _new_agent(self, vm: str) -> AgentProcess:
        path = f"{self.backends.cubefs.bin_dir}:{os.environ['PATH']}"
        sources = ("--allow-source", str(self.backends.bind_root))
        directory = self.directory / vm
        directory.mkdir()
        environ = {**OFTEN, "PATH": path, "WEFT_CLIENT_WRITABLE_PATHS": str(self.backends.cubefs.directory)}
        return AgentProcess(directory, self.broker.url, vm=vm, arguments=sources, environ=environ)

    async def _start_agent(self, vm: str) -> None:
        await self.agents[vm].start()
        self._down.discard(vm)

    def _signal_client(self, vm: str, name: str, number: signal.Signals) -> int | None:
        """Signal the client that serves a share at this moment, and return which that is; None where there is none."""
        pid = self.pid_of(vm, name)
        with suppress(ProcessLookupError, FileNotFoundError):
            if pid is not None and str(self.agents[vm].run_dir).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, number)
                return pid
        return None

    def _doom(self, pid: int | None) -> None:
        """Note that a client cannot go on: all is at rest only when it is gone and forgotten."""
        if pid is not None:
            self._doomed.add(pid)

    async def _unmount_behind(self, vm: str, name: str) -> None:
        """Unmount a share where it stands at this moment, if it does."""
        for each in self.live(vm):
            if each["share"]["id"] == name and self.table.refresh().at(each["path"]):
                command = await asyncio.create_subprocess_exec(
                    "umount", "-l", "--no-canonicalize", each["path"], stderr=asyncio.subprocess.DEVNULL
                )
                await asyncio.wait_for(command.wait(), COMMAND_S)

    # --- the rest ---------------------------------------------------------------------------------------------------

    async def _begin(self, outage: Outage) -> None:
        self._outages.add(outage)
        match outage:
            case Outage.S3_SILENT:
                self.backends.s3.suspend()
            case Outage.CUBEFS_SILENT:
                self.backends.cubefs.stall(VOLUME)
            case Outage.MASTERS_AWAY:
                await self.backends.cubefs.refuse()
            case Outage.BROKER_KILLED:
                await self.broker.kill()
            case Outage.BROKER_SILENT:
                self.broker.freeze()
            case _:
                assert_never(outage)

    async def _end(self, outage: Outage) -> None:
        self._outages.discard(outage)
        match outage:
            case Outage.S3_SILENT:
                self.backends.s3.resume()
            case Outage.CUBEFS_SILENT:
                self.backends.cubefs.resume(VOLUME)
            case Outage.MASTERS_AWAY:
                await self.backends.cubefs.listen()
            case Outage.BROKER_KILLED:
                await self.broker.start()
            case Outage.BROKER_SILENT:
                self.broker.thaw()
            case _:
                assert_never(outage)


def _damage(path: Path, damage: Damage) -> None:
    if not path.exists():
        return
    match damage:
        case Damage.CUT:
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
        case Damage.EMPTY:
            path.write_bytes(b"")
        case Damage.NOISE:
            path.write_bytes(b"\x93\x00not a ledger")
        case Damage.GONE:
            path.unlink()
        case _:
            assert_never(damage)
