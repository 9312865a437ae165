"""Ask a running agent through its control socket, for the command line."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import msgspec

from agent.control import SOCKET_NAME
from weft.errors import NotConvergedError, WeftError

MARGIN_S = 10.0
_TIMEVAL = struct.Struct("ll")


class AgentUnreachableError(WeftError):
    """No agent answers on the control socket."""


class AgentRefusedError(WeftError):
    """The agent answered that it cannot do what was asked."""


def ask(run_dir: Path, request: dict[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """
    Send one request and return the answer.

    Args:
        run_dir: The agent's run directory.
        request: ``do`` and what belongs to it.
        timeout_s: How long the agent may take.

    Raises:
        AgentUnreachableError: There is no agent, or it does not answer.
        NotConvergedError: It did not come true in time.
        AgentRefusedError: It cannot; the text is the agent's own sentence.
    """
    path = run_dir / SOCKET_NAME
    try:
        question = msgspec.json.encode(request) + b"\n"
    except UnicodeEncodeError as exc:
        raise AgentRefusedError(f"cannot ask the agent about {exc.object!r}: it is not text") from exc
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        # With a timeout of Python's own, a connect fails at once while others fill the queue; the kernel waits.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(MARGIN_S), 0))
        try:
            sock.connect(str(path))
            sock.settimeout(timeout_s + MARGIN_S)
            sock.sendall(question)
            with sock.makefile("rb") as lines:
                line = lines.readline()
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise AgentUnreachableError(
                f"cannot reach an agent at {path}: none is running there; "
                "look at systemctl status weft-agent, or give --run-dir"
            ) from exc
        except OSError as exc:
            raise AgentUnreachableError(
                f"cannot ask the agent at {path}: {exc.strerror or 'no answer in time'}"
            ) from exc
    if not line:
        raise AgentUnreachableError(f"cannot ask the agent at {path}: it closed the connection")
    answer: dict[str, Any] = msgspec.json.decode(line)
    if "error" in answer:
        if answer.get("kind") == NotConvergedError.__name__:
            raise NotConvergedError(answer["error"])
        raise AgentRefusedError(answer["error"])
    return answer
