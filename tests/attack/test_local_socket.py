"""The agent's socket against a local user who wants it for himself: other users and root are answered all the same."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from agent.control import SOCKET_NAME, ControlServer
from agent.control_client import ask
from tests.attack.conftest import CountProbes

pytestmark = pytest.mark.integration

ATTACKER, NEIGHBOUR = 65534, 65533
ANSWER_BYTES = 400_000
"""About what a guest with a thousand failing shares says of itself: more than a socket holds."""

LIMIT_S = 20.0

CONNECT = """
import os, socket, sys, time
os.setgroups([]); os.setgid(65534); os.setuid(int(sys.argv[2]))
def connect():
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(sys.argv[1])
    return caller
def attempt(caller, data):
    try:
        caller.sendall(data)
    except OSError:
        pass
"""

ATTACKS = {
    "says nothing": "callers = [connect() for _ in range(100)]",
    "sends half a line": """
callers = [connect() for _ in range(100)]
for caller in callers: attempt(caller, b'{"do":')
""",
    "asks and never reads": """
callers = [connect() for _ in range(100)]
for caller in callers:
    caller.settimeout(0.1)
    attempt(caller, b'{"do":"status"}\\n' * 50)
""",
    "waits for ever": """
callers = [connect() for _ in range(100)]
for caller in callers: attempt(caller, b'{"do":"wait"}\\n')
""",
    "sends a line without end": """
callers = [connect() for _ in range(20)]
for caller in callers:
    caller.settimeout(0.2)
    attempt(caller, b'x' * 1_000_000)
""",
    "hangs up in the middle": """
for _ in range(200):
    caller = connect(); attempt(caller, b'{"do":"status"}\\n{"do":'); caller.close()
""",
    "sends what is no text": """
callers = [connect() for _ in range(20)]
for caller in callers: attempt(caller, b'{"do":"\\xff\\xfe"}\\n' + b'[' * 60_000 + b'\\n')
""",
}

FLOOD = """
print("ready", flush=True)
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        caller = connect(); caller.sendall(b'{"do":"status"}\\n'); caller.close()
    except OSError:
        pass
"""

ASK = """
import json
caller = connect()
caller.settimeout(20)
caller.sendall(b'{"do":"status"}\\n')
answer = caller.makefile("rb").readline()
print(json.loads(answer).keys())
"""


class Asked:
    """The answers of a stand-in for the agent, and how many were given."""

    def __init__(self) -> None:
        self.count = 0

    async def answer(self, request: dict[str, Any], may_change: bool) -> dict[str, Any]:
        """Answer, or wait for ever where the question says so."""
        if request.get("do") == "wait":
            await asyncio.Event().wait()
        self.count += 1
        return {"may_change": may_change, "text": "x" * ANSWER_BYTES}


@pytest.fixture
def asked() -> Asked:
    """Whom the socket asks."""
    return Asked()


@pytest.fixture
async def path(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The socket of a server with little patience that everybody can reach."""
    monkeypatch.setattr("agent.control.PATIENCE_S", 1.0, raising=False)
    with TemporaryDirectory(prefix="weft-") as name:
        directory = Path(name)
        os.chmod(name, 0o755)
        server = ControlServer(directory, asked.answer)
        await server.start()
        yield directory / SOCKET_NAME
        await server.close()


@asynccontextmanager
async def user(path: Path, uid: int, program: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run *program* as another user of the machine."""
    process = await asyncio.create_subprocess_exec(
        *("/usr/bin/python3", "-I", "-c", CONNECT + program, str(path), str(uid)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ask_as_root(path: Path) -> dict[str, Any]:
    """Ask as the command line does."""
    return await asyncio.to_thread(ask, path.parent, {"do": "status"})


async def ask_as(path: Path, uid: int) -> str:
    async with user(path, uid, ASK) as process:
        output, _ = await process.communicate()
        return output.decode()


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_one_user_keeps_neither_another_nor_root_from_the_socket(
    path: Path, attack: str, count_probes: CountProbes
) -> None:
    """However many connections he opens, and whatever he does with them; all but a few are told why and closed."""
    async with user(path, ATTACKER, attack + "\nprint('done', flush=True)\nsys.stdin.read()\n") as attacker:
        assert attacker.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            assert await attacker.stdout.readline() == b"done\n"
            assert (await ask_as_root(path))["may_change"]
            assert "'may_change'" in await ask_as(path, NEIGHBOUR)
    count_probes("attacks on the agent's socket")


async def test_a_flood_of_short_calls_leaves_answers_for_others(path: Path, count_probes: CountProbes) -> None:
    """Of one user's questions ten are answered in a second; the others wait, or are closed."""
    async with user(path, ATTACKER, FLOOD) as attacker:
        assert attacker.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            assert await attacker.stdout.readline() == b"ready\n"
            for _ in range(5):
                assert (await ask_as_root(path))["may_change"]
            assert "'may_change'" in await ask_as(path, NEIGHBOUR)
    count_probes("attacks on the agent's socket")


@pytest.mark.parametrize("program", [ATTACKS["says nothing"], ATTACKS["sends half a line"]], ids=["silent", "half"])
async def test_a_place_that_is_only_held_is_given_to_the_next(path: Path, program: str) -> None:
    """The same user's next question is answered once his idle connections have been ended."""
    later = program + "\nprint(callers[0].recv(10), flush=True)\n" + ASK
    async with user(path, ATTACKER, later) as attacker:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await attacker.communicate()
    assert output.decode().splitlines()[0] == "b''"
    assert "'may_change'" in output.decode()


async def test_one_users_questions_are_answered_at_a_walk(path: Path, asked: Asked) -> None:
    """A script that asks in a loop gets ten answers in a second, so that mounting has the processor."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with user(path, ATTACKER, "".join(f"\n{ASK}" for _ in range(12))) as script:
        output, _ = await script.communicate()
    assert output.count(b"may_change") == 12
    assert asked.count == 12
    assert loop.time() - began_s > 1.0
