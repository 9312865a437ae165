"""The mount table of this process, read at once and watched for changes; nothing polls and nothing sleeps."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Self, TypeVar

from agent.mounts.mountinfo import MountEntry, MountTable, parse_lines, parse_mountinfo

T = TypeVar("T")

MOUNTINFO = "/proc/self/mountinfo"

_READS_AGAIN_AT_MOST = 8
"""Of a table that changes while it is read; a change during the last one raises its event, and it is read once more."""


def read_mount_table(path: str = MOUNTINFO) -> MountTable:
    """Read the mount table once; the kernel answers from memory, so this cannot hang on any mount."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return MountTable(parse_mountinfo(_read(fd)))
    finally:
        os.close(fd)


class MountTableWatcher:
    """
    The current mount table, and who wants to hear of a change.

    The kernel raises EPOLLPRI and EPOLLERR on an open mountinfo when a mount comes or goes (seen here within 3 ms). An
    epoll descriptor for just those two is nested in the event loop, which itself can only watch for EPOLLIN, and that
    mountinfo always has.

    Args:
        path: The mountinfo to watch.
    """

    def __init__(self, path: str = MOUNTINFO) -> None:
        self._path = path
        self._fd = -1
        self._epoll: select.epoll | None = None
        self._callbacks: dict[object, Callable[[MountTable], None]] = {}
        self._lines: dict[str, MountEntry] = {}
        self._current = MountTable(())

    def start(self) -> None:
        """Begin to watch, in the running loop; :attr:`current` is valid from here on."""
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        self._epoll = select.epoll()
        self._epoll.register(self._fd, select.EPOLLPRI | select.EPOLLERR)
        # In this order: what happens in between is consumed, unseen, by the loop's epoll when it takes this one in.
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self.refresh)
        self.refresh()

    def close(self) -> None:
        """Stop watching."""
        if self._epoll is None:
            return
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()
        os.close(self._fd)
        self._epoll = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def current(self) -> MountTable:
        """The table as last read: at the latest change the loop has heard of."""
        return self._current

    def refresh(self) -> MountTable:
        """Read the table now, so that the effect of a call just made is in it, and tell subscribers if it changed."""
        assert self._epoll is not None, "the watcher was started"
        self._epoll.poll(0)  # takes the event, so that one from here on means a change during the read
        text = _read(self._fd)
        for _ in range(_READS_AGAIN_AT_MOST):
            if not self._epoll.poll(0):
                break
            text = _read(self._fd)
        lines = parse_lines(text, self._lines)
        if lines != self._lines:
            self._lines = lines
            self._current = MountTable(tuple(lines.values()))
            for callback in tuple(self._callbacks.values()):
                asyncio.get_running_loop().call_soon(callback, self._current)
        return self._current

    def subscribe(self, callback: Callable[[MountTable], None]) -> Callable[[], None]:
        """
        Have *callback* called, soon, with each new table.

        Returns:
            What ends the subscription.
        """
        key = object()
        self._callbacks[key] = callback
        return lambda: self._callbacks.pop(key, None) and None

    async def wait_for(self, predicate: Callable[[MountTable], T | None], *, deadline_s: float) -> T:
        """
        Wait until *predicate* returns something else than None for a table, and return that.

        Args:
            predicate: Asked of the table as it is now, then of each new one; what it raises ends the wait.
            deadline_s: Seconds to wait.

        Raises:
            TimeoutError: it returned None until then.
        """
        changed = asyncio.Event()
        unsubscribe = self.subscribe(lambda _: changed.set())
        try:
            async with asyncio.timeout(deadline_s):
                table = self.refresh()
                while (found := predicate(table)) is None:
                    changed.clear()
                    await changed.wait()
                    table = self._current
                return found
        finally:
            unsubscribe()


def _read(fd: int) -> str:
    """Read from the start. The kernel hands out a page at a time; before 5.8 a change in between could skip a line."""
    os.lseek(fd, 0, os.SEEK_SET)
    chunks: list[bytes] = []
    while chunk := os.read(fd, 1 << 20):
        chunks.append(chunk)
    return os.fsdecode(b"".join(chunks))
