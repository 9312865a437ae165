"""
The program that forks the walker's helpers: small, single-threaded, and never in a mount itself.

It reads requests from a SEQPACKET socket, one packet each, and forks a helper for every one (about a millisecond;
a fresh interpreter takes 25), which makes one call, answers on the same socket and exits. A helper that hangs is killed
when asked to, and never waited for. A client of a mount begins as such a helper, forked for the agent, and is nobody's
to kill here. At the socket's end, so also when the agent was killed, the program ends.

Packets, marshalled dictionaries (both ends are the same interpreter):
    ``{id, call, arguments}`` asks; ``{kill: id}`` abandons; a helper answers ``{id, value}`` or ``{id, errno, at}`` or
    ``{id, failed}``; ``{gone: id, status}`` says that an abandoned helper, or one that ended badly, has exited.
"""

from __future__ import annotations

import marshal
import os
import select
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, NoReturn

PACKET_BYTES = 1 << 18
"""Above any answer: 256 names of 255 bytes are a quarter of it."""

_SIGKILL = 9


def main(fd: int) -> None:
    """Serve requests on *fd* until its other end is closed."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    helpers: dict[int, tuple[int, int]] = {}
    killed: set[int] = set()
    while True:
        for ready, _ in poll.poll():
            if ready != fd:
                poll.unregister(ready)
                os.close(ready)
                number, pid = helpers.pop(ready)
                _, status = os.waitpid(pid, os.WNOHANG)
                if number in killed or status != 0:
                    killed.discard(number)
                    _send(fd, {"gone": number, "status": status})
                continue
            packet = os.read(fd, PACKET_BYTES)
            if not packet:
                for _, pid in helpers.values():
                    os.kill(pid, _SIGKILL)
                return
            request = marshal.loads(packet)
            if "kill" in request:
                number = request["kill"]
                pids = [pid for held, pid in helpers.values() if held == number]
                for pid in pids:
                    os.kill(pid, _SIGKILL)
                    killed.add(number)
                if not pids:
                    _send(fd, {"gone": number, "status": 0})
                continue
            try:
                if request["call"] == "become_client":
                    _start_client(fd, request["id"], request["arguments"])
                    continue
                pid = _fork(fd, **request)
            except OSError as exc:
                _send(fd, {"id": request["id"], "failed": f"cannot fork: {exc.strerror}"})
                continue
            pidfd = os.pidfd_open(pid)
            helpers[pidfd] = (request["id"], pid)
            poll.register(pidfd, select.POLLIN)


def _fork(fd: int, id: int, call: str, arguments: dict[str, Any]) -> int:
    from agent.mounts import walker_calls  # noqa: F401 - once here, not in each helper

    pid = os.fork()
    if pid != 0:
        return pid
    try:
        _help(fd, id, call, arguments)
    finally:
        os._exit(1)


def _help(fd: int, number: int, call: str, arguments: dict[str, Any]) -> NoReturn:
    from agent.mounts.walker_calls import CALLS

    try:
        answer = {"id": number, "value": CALLS[call](**arguments)}
    except OSError as exc:
        at = exc.filename if isinstance(exc.filename, str) else ""
        answer = {"id": number, "errno": exc.errno, "at": at}
    except Exception as exc:  # noqa: BLE001 - a helper's last words: it has nobody else to tell
        answer = {"id": number, "failed": f"{type(exc).__name__}: {exc}"}
    _send(fd, answer)
    os._exit(0)


def _start_client(fd: int, number: int, arguments: dict[str, Any]) -> None:
    """Fork a client: the agent's own child, which answers with its pid before it becomes the program."""
    from agent.mounts import cage_calls, syscalls

    if syscalls.fork_for_parent() != 0:
        return
    try:
        os.set_inheritable(fd, False)
        cage_calls.become_client(**arguments, on_ready=lambda: _send(fd, {"id": number, "value": os.getpid()}))
    except OSError as exc:
        at = exc.filename if isinstance(exc.filename, str) else ""
        _send(fd, {"id": number, "errno": exc.errno, "at": at})
    except Exception as exc:  # noqa: BLE001 - its last words: it has nobody else to tell
        _send(fd, {"id": number, "failed": f"{type(exc).__name__}: {exc}"})
    finally:
        os._exit(127)


def _send(fd: int, packet: dict[str, Any]) -> None:
    try:
        os.write(fd, marshal.dumps(packet))
    except BrokenPipeError:
        return  # the agent is gone; the next read finds the socket's end


if __name__ == "__main__":
    # Alone, without the packages' own __init__: they would load the whole agent into every helper.
    _mounts = os.path.dirname(os.path.abspath(__file__))
    for _name, _folder in (("agent", os.path.dirname(_mounts)), ("agent.mounts", _mounts)):
        sys.modules[_name] = type(sys)(_name)
        sys.modules[_name].__path__ = [_folder]
    main(int(sys.argv[1]))
