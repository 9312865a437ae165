"""The agent's end of the walker's process: it starts, is asked with a deadline, is lost and started again."""

from __future__ import annotations

import asyncio
import enum
import errno
import marshal
import os
import resource
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.mounts import walker_main
from agent.supervise.identity import is_stopped

_GRACE_S = 2.0
"""For the walker's process to end by itself once its socket is closed; it never waits for a mount, so it is quick."""


_TURN_S = 60.0
"""For a call to get its turn, which is not what its deadline is for: a full house says nothing about a mount."""

_DEATH_S = 1.0
"""For a helper that was killed to end; one that can, does so within milliseconds."""

_PACKET_OVERHEAD = 32
"""What the kernel takes of a socket's buffer beside a packet."""

_CALLS_AT_ONCE = 64
_SPARE_FILES = 64


class Lane(enum.Enum):
    """What a call is for; each purpose has places of its own, so that none keeps another waiting."""

    PROBE = enum.auto()
    """Questions whether a mount answers; some wait for days."""
    UNMOUNT = enum.auto()
    """Taking mounts away, and whatever that takes: it must go on when nothing else does."""
    WORK = enum.auto()
    """Everything else, bringing mounts up above all."""


@dataclass(slots=True)
class _Helper:
    """One helper: what it is for, and while it is stuck, whether it still has its place."""

    lane: Lane
    key: Hashable
    has_place: bool = True
    gone: asyncio.Event = field(default_factory=asyncio.Event)


class NoTurn(Exception):
    """All places of a lane were taken for too long; nothing was asked."""


class StillStuck(Exception):
    """The same was asked before, and that helper was killed and has not ended."""


class Refusal(Exception):
    """The kernel refused a helper's call (not an OSError: ETIMEDOUT would become Python's own TimeoutError)."""

    def __init__(self, errno: int, at: str) -> None:
        super().__init__(errno, at)
        self.errno = errno
        self.at = at


class HelperLost(Exception):
    """A helper, or the process that forks them, ended without an answer."""


class WalkerProcess:
    """
    One process that forks helpers, and the requests under way in it.

    A helper that is stuck gives its place back, as long as there are not too many of those, and the same is not asked
    again while it exists: so hung mounts cost a helper each, and no place that others need.

    Args:
        max_probes: Probes at once; where each mount has its own, none waits for another. A helper costs a few hundred
            kB. Calls of the other lanes are 64 at once.
        python: The interpreter to run it with.
        turn_s: Longest wait for a place.
    """

    def __init__(self, *, max_probes: int = 64, python: str = sys.executable, turn_s: float = _TURN_S) -> None:
        self._python = python
        self._turn_s = turn_s
        slots = {Lane.PROBE: max_probes, Lane.UNMOUNT: _CALLS_AT_ONCE, Lane.WORK: _CALLS_AT_ONCE}
        self._places = {lane: asyncio.Semaphore(number) for lane, number in slots.items()}
        self._places_at_most = sum(slots.values())
        self._unsent_at_most = max_probes
        self._stuck_at_most = self._places_at_most
        self._unsent: deque[bytes] = deque()
        self._waiting: dict[int, tuple[asyncio.Future[Any], _Helper]] = {}
        self._stuck: dict[int, _Helper] = {}
        self._last_number = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._pidfd = -1
        self._ended = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def stuck(self) -> int:
        """How many helpers were abandoned and have not ended; of this process, not of one lost before it."""
        return len(self._stuck)

    def start(self) -> None:
        """
        Start it unless it runs.

        Raises:
            HelperLost: the interpreter could not be started.
        """
        if self._process is not None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            command = [self._python, "-I", "-S", str(Path(walker_main.__file__).resolve()), str(theirs.fileno())]
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as exc:
                ours.close()
                raise HelperLost(f"{self._python}: {exc.strerror}") from exc
        self._allow_files(self._process.pid)
        self._socket = ours
        self._pidfd = os.pidfd_open(self._process.pid)
        self._ended.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._read)
        loop.add_reader(self._pidfd, self._lose)

    def _allow_files(self, pid: int) -> None:
        """Let it have a file for each helper; the usual limit is below what a guest full of hung mounts needs."""
        wanted = self._places_at_most + self._stuck_at_most + _SPARE_FILES
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft not in (resource.RLIM_INFINITY, hard) and soft < enough:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (enough, hard))

    async def close(self) -> None:
        """End it; requests under way fail, helpers that are stuck are killed and left behind."""
        if self._socket is None:
            return
        self._socket.shutdown(socket.SHUT_RDWR)
        asyncio.get_running_loop().remove_reader(self._socket)
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._ended.wait()
        finally:
            self._lose()

    async def ask(
        self,
        call: str,
        *,
        deadline_s: float,
        lane: Lane = Lane.WORK,
        key: Hashable = None,
        on_begun: Callable[[], object] = lambda: None,
        **arguments: Any,
    ) -> Any:
        """
        Have *call* made by a helper of its own.

        Args:
            call: A key of ``walker_calls.CALLS``.
            deadline_s: Seconds from when it begins until the helper is killed and abandoned; > 0.
            lane: Whose places it takes.
            key: What tells calls that would get stuck in the same place; by default the call with its arguments.
            on_begun: Called when it has its turn.
            arguments: Of that call; plain values only.

        Raises:
            Refusal: the kernel said no.
            TimeoutError: no answer by the deadline.
            StillStuck: an earlier helper for the same is stuck.
            NoTurn: all places were taken.
            HelperLost: the helper ended without an answer.
        """
        helper = _Helper(lane, (lane, key if key is not None else (call, marshal.dumps(arguments))))
        await self._wait_for_the_last(helper.key, deadline_s=deadline_s)
        await self._take_place(lane)
        try:
            number = self._send(call, arguments, helper)
        except BaseException:
            self._places[lane].release()
            raise
        on_begun()
        try:
            async with asyncio.timeout(deadline_s):
                return await self._waiting[number][0]
        except (asyncio.CancelledError, TimeoutError):
            self._abandon(number)
            raise

    async def _wait_for_the_last(self, key: Hashable, *, deadline_s: float) -> None:
        stuck = next((helper for helper in self._stuck.values() if helper.key == key), None)
        if stuck is None:
            return
        try:
            async with asyncio.timeout(min(deadline_s, _DEATH_S)):
                await stuck.gone.wait()
        except TimeoutError as exc:
            if self.pid is None or not is_stopped(self.pid):
                raise StillStuck from exc
            self._lose()  # it is no mount that is silent

    async def _take_place(self, lane: Lane) -> None:
        try:
            async with asyncio.timeout(self._turn_s):
                await self._places[lane].acquire()
        except TimeoutError as exc:
            raise NoTurn from exc

    def _send(self, call: str, arguments: dict[str, Any], helper: _Helper) -> int:
        self._last_number += 1
        packet = marshal.dumps({"id": self._last_number, "call": call, "arguments": arguments})
        self.start()
        self._refuse_large(packet)
        if not self._is_sent(packet):
            self.start()  # it had died and was asked before that was noticed
            if not self._is_sent(packet):
                raise HelperLost("the walker's process takes no requests")
        self._waiting[self._last_number] = (asyncio.get_running_loop().create_future(), helper)
        return self._last_number

    def _refuse_large(self, packet: bytes) -> None:
        """Refuse what the socket would not take: a share of that size is wrong, and the walker's process is not."""
        assert self._socket is not None, "it was started"
        room = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _PACKET_OVERHEAD
        if len(packet) > min(room, walker_main.PACKET_BYTES):
            raise Refusal(errno.E2BIG, "")

    def _is_sent(self, packet: bytes) -> bool:
        """
        Send *packet*, or keep it until the socket, which holds some two hundred, has room.

        A process that takes none any more is given up: a dead one at once, one that was stopped when more wait than it
        could ever have been asked.
        """
        assert self._socket is not None, "it was started"
        try:
            if not self._unsent:
                self._socket.send(packet)
                return True
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self._socket, self._send_rest)
        except OSError:
            self._lose()
            return False
        self._unsent.append(packet)
        if len(self._unsent) > self._unsent_at_most:
            self._lose()
            return False
        return True

    def _send_rest(self) -> None:
        assert self._socket is not None, "whoever forgets it stops this"
        try:
            while self._unsent:
                self._socket.send(self._unsent[0])
                self._unsent.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        asyncio.get_running_loop().remove_writer(self._socket)

    def _abandon(self, number: int) -> None:
        """Kill the helper, and remember it until it is gone: in uninterruptible sleep it outlives the kill."""
        _, helper = self._waiting.pop(number, (None, None))
        if helper is None:
            return
        self._stuck[number] = helper
        if len(self._stuck) <= self._stuck_at_most:
            self._give_back(helper)
        self._is_sent(marshal.dumps({"kill": number}))  # if not, the process is lost, and all its helpers forgotten

    def _read(self) -> None:
        while self._socket is not None:
            try:
                packet = self._socket.recv(walker_main.PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                asyncio.get_running_loop().remove_reader(self._socket)  # its end is told by the pidfd
                return
            self._take(marshal.loads(packet))

    def _take(self, answer: dict[str, Any]) -> None:
        number: int = answer["gone"] if "gone" in answer else answer["id"]
        if number in self._stuck:
            if "gone" in answer:
                self._bury(number)
            return
        waiting, helper = self._waiting.pop(number, (None, None))
        if waiting is None or helper is None:
            return
        self._give_back(helper)
        if waiting.done():
            return
        if "value" in answer:
            waiting.set_result(answer["value"])
        elif "errno" in answer:
            waiting.set_exception(Refusal(answer["errno"], answer["at"]))
        else:
            waiting.set_exception(HelperLost(answer.get("failed") or f"wait status {answer['status']}"))

    def _give_back(self, helper: _Helper) -> None:
        if helper.has_place:
            helper.has_place = False
            self._places[helper.lane].release()

    def _bury(self, number: int) -> None:
        helper = self._stuck.pop(number)
        self._give_back(helper)
        helper.gone.set()

    def _lose(self) -> None:
        """Forget a process that ended (or is ended here), failing what was asked of it; the next request starts one."""
        if self._process is None or self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        loop.remove_reader(self._pidfd)
        self._unsent.clear()
        self._socket.close()
        os.close(self._pidfd)
        self._process.kill()
        self._process.wait()  # at once: it walks into no mount
        self._process = self._socket = None
        waiting, self._waiting = self._waiting, {}
        for future, helper in waiting.values():
            self._give_back(helper)
            if not future.done():
                future.set_exception(HelperLost("the walker's process ended"))
        for number in tuple(self._stuck):
            self._bury(number)
        self._ended.set()
