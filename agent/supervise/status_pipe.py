"""The pipe through which a client may say that its start failed, before it has exited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

MAX_BYTES = 1 << 16
"""A client says one sentence; what comes after this much is read and dropped, so that it never blocks."""


class StatusPipe:
    """
    The reading end of a client's status pipe.

    It stays open as long as the client is watched: closed too early, a client that reports success after its mount is
    already visible would fail to write.
    """

    def __init__(self) -> None:
        self.message = b""
        self._read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.write_fd, True)
        self._loop = asyncio.get_running_loop()
        self._callback: Callable[[], None] | None = None
        self._loop.add_reader(self._read_fd, self._read)

    def on_message(self, callback: Callable[[], None] | None) -> None:
        """Call *callback* whenever more of the message has come; None stops that."""
        self._callback = callback

    def close_write_end(self) -> None:
        """Close our copy of the client's end."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        """Close both ends."""
        self.close_write_end()
        if self._read_fd >= 0:
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1

    def _read(self) -> None:
        try:
            chunk = os.read(self._read_fd, 1 << 14)
        except BlockingIOError:
            return
        if not chunk:
            self.close()
            return
        self.message = (self.message + chunk)[:MAX_BYTES]
        if self._callback is not None:
            self._callback()
