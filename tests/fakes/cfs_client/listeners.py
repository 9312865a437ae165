"""The client's two TCP listeners: the control API on profPort, and the Prometheus exporter."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable

from tests.fakes.cfs_client.options import MountOptions

PORT_TAKEN_PATIENCE_S = 60.0
RETRY_S = 0.05
CONTROL_PATHS = frozenset({b"/rate/get", b"/rate/set", b"/loglevel/set", b"/log/get", b"/memstats", b"/metrics"})


def open_control_listener(options: MountOptions, *, time_scale: float, warn: Callable[[str], None]) -> int:
    """
    Serve the control API and return its port.

    It listens on all interfaces unless locallyProf; a taken port is waited for (a minute), then a random one is
    taken and *warn* is told.
    """
    host = "127.0.0.1" if options.is_prof_local else "0.0.0.0"
    wanted = int(options.prof_port or 0)
    deadline_s = time.monotonic() + PORT_TAKEN_PATIENCE_S * time_scale
    while True:
        try:
            return _listen(host, wanted)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        if time.monotonic() > deadline_s:
            warn(f"Warning: address {host}:{wanted} is still in use after timeout, choose port automatically\n")
            return _listen(host, 0)
        time.sleep(RETRY_S)


def open_exporter(options: MountOptions) -> int | None:
    """Serve the exporter on all interfaces and return its port, or ``None`` where it is switched off."""
    return _listen("0.0.0.0", options.exporter_port) if options.has_exporter else None


def _listen(host: str, port: int) -> int:
    server = socket.create_server((host, port))
    threading.Thread(target=_answer_all, args=(server,), daemon=True).start()
    bound: int = server.getsockname()[1]
    return bound


def _answer_all(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return  # it does not really listen; the real client's server ends as silently
        with connection:
            words = connection.recv(4096).split()
            path = words[1].partition(b"?")[0] if len(words) > 1 else b""
            status = b"200 OK" if path in CONTROL_PATHS else b"404 Not Found"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
