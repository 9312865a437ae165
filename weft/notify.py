"""sd_notify: tell systemd that a service is ready, alive, and what it is doing."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

from weft.printable import printable


class Notifier:
    """
    The service manager, if there is one; without one every call does nothing.

    Args:
        environ: Has ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` where systemd wants to hear from us.
        pid: Our own process id; a watchdog meant for another process is not fed.
    """

    def __init__(self, environ: Mapping[str, str], *, pid: int | None = None) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environ, pid if pid is not None else os.getpid()) if self._address else None
        self._status = ""

    def ready(self) -> None:
        """Say that the loop runs; the broker may still be away."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``; the same line again is not sent."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={printable(text)}")  # a line break would begin another assignment

    def stopping(self) -> None:
        """Say that the service ends on purpose."""
        self._send("STOPPING=1")

    async def feed_watchdog(self) -> None:
        """Say that the loop is alive, at half the interval, until cancelled; return at once if nobody watches."""
        while self.watchdog_s is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto(text.encode(), self._address)
            except OSError:
                return  # the service manager is restarting; it asks again, and the watchdog is fed again soon


def _address(text: str) -> str | None:
    if not text.startswith(("/", "@")):
        return None
    return "\0" + text[1:] if text.startswith("@") else text


def _watchdog_s(environ: Mapping[str, str], pid: int) -> float | None:
    try:
        interval_us = int(environ.get("WATCHDOG_USEC", "0"))
        meant_for = int(environ.get("WATCHDOG_PID", str(pid)))
    except ValueError:
        return None
    return interval_us / 1_000_000 if interval_us > 0 and meant_for == pid else None
