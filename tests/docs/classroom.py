"""Where commands of a page are typed: a broker, and a class of thirty VMs whose guests report as real ones do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from controlplane.auth.roles import Role
from controlplane.streams import ensure
from tests.docs.console import INTERRUPT, Typed, prints_as_said, read_console
from tests.parts.realm import Realm
from tests.parts.told_guest import ToldGuest
from weft.errors import ErrorCode
from weft.link import Link
from weft.wire.share import ShareMount
from weft.wire.status import ShareError, ShareState, ShareStatus

DEADLINE_S = 60.0
THERE = [f"vm-{number:02}" for number in (*range(1, 30), 31)]
"""``vm-30`` is switched off."""
WITHOUT_RCLONE = "vm-17"
"""Until somebody installs it there, and the share is tried again."""
ONLY_HERE = "only guests on this machine"
"""Said to a teacher whose broker is on her own machine, as it is in a test, and to no other."""


class Pupil(ToldGuest):
    """A guest whose storage knows the right secret."""

    def _standing(self, share: ShareMount) -> ShareStatus:
        error = self._error_of(share)
        if error is None:
            return super()._standing(share)
        return ShareStatus(id=share.id, mount_point=share.mount_point, state=ShareState.FAILED, error=error)

    def _error_of(self, share: ShareMount) -> ShareError | None:
        assert share.rclone is not None
        if self.vm == WITHOUT_RCLONE and share.id == "lectures" and not share.refresh:
            reason = f"cannot mount share {share.id!r}: rclone is not installed"
            return ShareError(code=ErrorCode.HELPER_MISSING, message=reason)
        if share.rclone.config.get("secret_access_key", "the secret") != "the secret":
            reason = f"cannot mount share {share.id!r}: the secret key does not belong to the access key"
            return ShareError(code=ErrorCode.AUTH, message=reason)
        return None


@asynccontextmanager
async def shell(command: str, directory: Path, environ: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run *command* in a shell, which ends with the block."""
    path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        cwd=directory,
        env={"PATH": path, "HOME": str(directory), "LC_ALL": "C.UTF-8", **environ},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def type_command(command: str, directory: Path, environ: Mapping[str, str]) -> list[str]:
    """Type *command* and return what it prints."""
    async with shell(command, directory, environ) as process:
        printed, _ = await process.communicate()
    return printed.decode().splitlines()


async def type_until_interrupted(typed: Typed, directory: Path, environ: Mapping[str, str]) -> list[str]:
    """Type a command, press Ctrl-C where the page does, and return what it prints, as the page writes it."""
    last_before = typed.prints[typed.prints.index(INTERRUPT) - 1]
    async with shell(f"exec {typed.command}", directory, environ) as process:
        assert process.stdout is not None
        printed: list[str] = []
        while line := (await process.stdout.readline()).decode():
            printed.append(line.rstrip("\n"))
            if printed[-1] == last_before:
                process.send_signal(signal.SIGINT)
                printed.append(INTERRUPT)
    return [line for line in printed if not line.startswith(ONLY_HERE)]


async def try_page(page: Path, realm: Realm, directory: Path) -> None:
    """Type every command of *page* in *directory* as the operator ann, and expect what the page says that it prints."""
    root = realm.options(Role.ADMIN, "root")
    assert root.creds is not None
    shutil.copy(root.creds, directory / "root.creds")
    async with Link(root) as link:
        await ensure(link)
    environ = {"NATS_URL": realm.broker.url, "NATS_CREDS": str(realm.options(Role.OPERATOR, "ann").creds)}
    async with AsyncExitStack() as stack:
        for vm in THERE:
            await stack.enter_async_context(Pupil(realm.broker.url, vm, options=realm.options(Role.GUEST, vm)))
        for typed in read_console(page, prompt="$"):
            if typed.is_background:
                printed = await type_until_interrupted(typed, directory, environ)
            else:
                printed = await type_command(typed.command, directory, environ)
            assert prints_as_said(printed, typed.prints), f"{typed.command}: {printed}"
