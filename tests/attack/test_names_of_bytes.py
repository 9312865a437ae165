"""A user of the guest who gives files and processes names that are no text: the agent still says what it has to."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from agent.reconcile.phase import build_fault
from tests.attack.conftest import CountProbes
from tests.integration.agent.conftest import agent, directory, nc
from tests.parts.agent_process import AgentProcess
from tests.parts.shares import bind, encoded_set
from weft.errors import BusyError, MountError, UnmountError
from weft.wire.share import ShareMount
from weft.wire.subjects import subject

__all__ = ["agent", "directory", "nc"]

NAMES = (
    b"\xff",
    b"a\xff\xfe\nb",
    b"\xed\xa0\x80",
    b"\xed\xb3\xbf\xed\xb3\xbf",
    b"\x1b]52;c;aGk=\x07\xc3",
    b"\xf0\x9f\x98",
)
"""Bytes, broken sequences, halves of surrogate pairs written as if they were characters, orders to a terminal."""

HOLD = """
import ctypes, os, sys, time
os.chdir(sys.argv[1])
ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[2]), 0, 0, 0)
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("kind", [MountError, BusyError, UnmountError, RuntimeError])
def test_every_fault_fits_a_message(name: bytes, kind: type[Exception], count_probes: CountProbes) -> None:
    """Whatever the kernel said, and whoever made the error of it."""
    text = os.fsdecode(name)
    error = kind(text, detail=text) if issubclass(kind, MountError) else kind(text)
    fault = build_fault(error)
    json.dumps([fault.message, fault.detail], ensure_ascii=False).encode()
    count_probes("names that are no text")


def a_share(agent: AgentProcess) -> ShareMount:
    return bind("a", str(agent.mounts / "a"), source=str(agent.source("a")))


def make_files(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name in NAMES:
        Path(os.fsdecode(os.fsencode(directory) + b"/" + name)).touch()


@asynccontextmanager
async def holding(place: Path, name: bytes) -> AsyncIterator[None]:
    """Have a process of that name work in *place*."""
    user = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(place), name.hex(), stdout=asyncio.subprocess.PIPE
    )
    assert user.stdout is not None
    try:
        await user.stdout.readline()
        yield
    finally:
        user.kill()
        await user.wait()


@pytest.mark.integration
async def test_files_in_the_way_end_no_agent(agent: AgentProcess, nc: Client, count_probes: CountProbes) -> None:
    """It reports the share as occupied, and goes on with the next list."""
    make_files(agent.mounts / "a")
    await nc.jetstream().publish(subject("vm-7"), encoded_set(1, a_share(agent)))
    async with agent:
        status = await agent.until_states(a="backoff")
        assert status["shares"][0]["error"]["code"] == "occupied"
        await nc.jetstream().publish(subject("vm-7"), encoded_set(2))
        await agent.until_states()
    count_probes("names that are no text", len(NAMES))


@pytest.mark.integration
async def test_a_process_in_the_way_ends_no_agent(agent: AgentProcess, nc: Client, count_probes: CountProbes) -> None:
    """It is named as who holds the share, which goes."""
    await nc.jetstream().publish(subject("vm-7"), encoded_set(1, a_share(agent)))
    async with agent:
        await agent.until_states(a="mounted")
        async with holding(agent.mounts / "a", b"\xff\xfe"):
            await nc.jetstream().publish(subject("vm-7"), encoded_set(2))
            status = await agent.until(lambda status: any("error" in share for share in status["shares"]))
            assert "\\udcff\\udcfe" in status["shares"][0]["error"]["detail"]
            await agent.until_states()
    count_probes("names that are no text")
