"""The agent's end of the walker's process: it starts, is asked with a deadline, is lost and started again."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

from agent.mounts import walker_main

_GRACE_S = 2.0
"""For the walker's process to end by itself once its socket is closed; it never waits for a mount, so it is quick."""


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

    Args:
        max_outstanding: Helpers that may exist at once, the stuck ones included; a request beyond waits for its turn
            until its deadline. Each costs a few hundred kB.
        python: The interpreter to run it with.
    """

    def __init__(self, *, max_outstanding: int = 64, python: str = sys.executable) -> None:
        self._python = python
        self._slots = asyncio.Semaphore(max_outstanding)
        self._unsent: deque[bytes] = deque()
        self._unsent_at_most = max_outstanding
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._abandoned: set[int] = set()
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
        return len(self._abandoned)

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
        self._socket = ours
        self._pidfd = os.pidfd_open(self._process.pid)
        self._ended.clear()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._read)
        loop.add_reader(self._pidfd, self._lose)

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

    async def ask(self, call: str, *, deadline_s: float, **arguments: Any) -> Any:
        """
        Have *call* made by a helper of its own.

        Args:
            call: A key of ``walker_calls.CALLS``.
            deadline_s: Seconds until the helper is killed and abandoned, waiting for its turn included; > 0.
            arguments: Of that call; plain values only.

        Raises:
            Refusal: the kernel said no.
            TimeoutError: no answer by the deadline.
            HelperLost: the helper ended without one.
        """
        async with asyncio.timeout(deadline_s):
            await self._slots.acquire()
            try:
                number = self._send(call, arguments)
            except BaseException:
                self._slots.release()
                raise
            try:
                return await self._waiting[number]
            except asyncio.CancelledError:
                self._abandon(number)
                raise

    def _send(self, call: str, arguments: dict[str, Any]) -> int:
        self._last_number += 1
        packet = marshal.dumps({"id": self._last_number, "call": call, "arguments": arguments})
        self.start()
        if not self._is_sent(packet):
            self.start()  # it had died and was asked before that was noticed
            if not self._is_sent(packet):
                raise HelperLost("the walker's process takes no requests")
        self._waiting[self._last_number] = asyncio.get_running_loop().create_future()
        return self._last_number

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
        """Kill the helper, keeping its slot until it is gone: in uninterruptible sleep it outlives the kill."""
        if self._waiting.pop(number, None) is None:
            return
        self._abandoned.add(number)
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
        if number in self._abandoned:
            if "gone" in answer:
                self._abandoned.remove(number)
                self._slots.release()
            return
        waiting = self._waiting.pop(number, None)
        if waiting is None:
            return
        self._slots.release()
        if waiting.done():
            return
        if "value" in answer:
            waiting.set_result(answer["value"])
        elif "errno" in answer:
            waiting.set_exception(Refusal(answer["errno"], answer["at"]))
        else:
            waiting.set_exception(HelperLost(answer.get("failed") or f"wait status {answer['status']}"))

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
        for future in waiting.values():
            self._slots.release()
            if not future.done():
                future.set_exception(HelperLost("the walker's process ended"))
        for _ in self._abandoned:
            self._slots.release()
        self._abandoned.clear()
        self._ended.set()
