"""The teacher's page prints what it says, with a class of thirty VMs whose guests report as real ones do."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.docs.console import prints_as_said, read_console
from tests.docs.pages import DOCS
from tests.parts.broker import Broker
from tests.parts.told_guest import ToldGuest
from weft.errors import ErrorCode
from weft.wire.share import ShareMount
from weft.wire.status import ShareError, ShareState, ShareStatus

pytestmark = pytest.mark.integration
DEADLINE_S = 60.0
THERE = [f"vm-{number}" for number in (*range(1, 30), 31)]
"""``vm-30`` is switched off."""


class Pupil(ToldGuest):
    """A guest whose storage knows the right secret."""

    def _standing(self, share: ShareMount) -> ShareStatus:
        if share.rclone is not None and share.rclone.config["secret_access_key"] == "the secret":
            return super()._standing(share)
        reason = f"cannot mount share {share.id!r}: the secret key does not belong to the access key"
        return ShareStatus(
            id=share.id,
            mount_point=share.mount_point,
            state=ShareState.FAILED,
            error=ShareError(code=ErrorCode.AUTH, message=reason),
        )


async def type_command(command: str, directory: Path, url: str) -> list[str]:
    """Type *command* into a shell and return what it prints."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "NATS_URL": url, "LC_ALL": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        printed, _ = await process.communicate()
    return printed.decode().splitlines()


async def test_the_teachers_commands_print_what_the_page_says(broker: Broker, tmp_path: Path) -> None:
    """From the first publish, with a wrong key and a VM that is off, to the end of term."""
    await type_command("weft init", tmp_path, broker.url)
    async with AsyncExitStack() as stack:
        for vm in THERE:
            await stack.enter_async_context(Pupil(broker.url, vm))
        for typed in read_console(DOCS / "class-of-30.md", prompt="$"):
            printed = await type_command(typed.command, tmp_path, broker.url)
            assert prints_as_said(printed, typed.prints), f"{typed.command}: {printed}"
