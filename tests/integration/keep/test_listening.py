"""Finding a process's own listeners."""

import os
import socket

import pytest

from agent.supervise.listening import find_loopback_ports

pytestmark = pytest.mark.integration


def test_only_listeners_on_loopback_are_found() -> None:
    """Not those on all interfaces, and not connections."""
    with (
        socket.create_server(("127.0.0.1", 0)) as local,
        socket.create_server(("0.0.0.0", 0)) as wide,
        socket.create_connection(local.getsockname()) as connection,
    ):
        found = find_loopback_ports(os.getpid())
        assert local.getsockname()[1] in found
        assert wide.getsockname()[1] not in found
        assert connection.getsockname()[1] not in found


def test_a_process_that_is_gone_listens_nowhere() -> None:
    """It is no error: it ended meanwhile."""
    assert find_loopback_ports(2**22 - 1) == ()
