"""The tests of :mod:`agent.drivers.suite`, and real mounts through the engine; needs root, and FUSE for a client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from agent.actual import LiveMount, Presence
from agent.drivers.base import Driver
from agent.drivers.suite import DriverSuite
from agent.mounts.cage import Views
from agent.mounts.engine import MountEngine
from agent.mounts.policy import Policy
from agent.mounts.table import MountTableWatcher, read_mount_table
from agent.mounts.walker import Walker
from agent.programs import Programs
from agent.supervise.identity import read_boot_id
from weft.errors import MountError
from weft.wire.ids import ShareId
from weft.wire.share import Action, ShareMount, share_secrets

TRIED = ShareId("tried")
DEADLINE_S = 60.0


class MountSuite(DriverSuite):
    """
    What a driver does on this machine.

    Attributes:
        entries: Names that the root of the healthy share holds.
        views: What its client must see of this machine besides ``/usr``: libraries that lie elsewhere.
    """

    entries: ClassVar[frozenset[str]] = frozenset()
    views: ClassVar[Views] = Views()

    def test_a_share_is_mounted_once_and_leaves_nothing(self, tmp_path: Path) -> None:
        """Asking twice changes nothing; after the unmount neither mount, client, file nor directory is left."""

        async def story(guest: _Guest) -> None:
            share = self.make_share(guest.directory)
            async with guest.engine() as engine:
                await engine.apply(share)
                assert self.entries <= set(await asyncio.to_thread(os.listdir, share.mount_point))
                before = guest.facts(share)
                await engine.apply(share)
                assert guest.facts(share) == before
                guest.assert_no_secret_in_command_lines(share)
                await engine.apply(_unmount())
            guest.assert_bare(share)

        self._tell(tmp_path, story)

    def test_a_mount_outlives_the_agent(self, tmp_path: Path) -> None:
        """The next agent takes it over as it is, and can take it away."""

        async def story(guest: _Guest) -> None:
            share = self.make_share(guest.directory)
            async with guest.engine() as engine:
                await engine.apply(share)
                before = guest.facts(share)
            async with guest.engine() as second:
                assert (await second.adopt({TRIED: share})).adopted == (TRIED,)
                await second.apply(share)
                assert guest.facts(share) == before
                await second.apply(_unmount())
            guest.assert_bare(share)

        self._tell(tmp_path, story)

    def test_a_lost_mount_is_told_and_comes_back(self, tmp_path: Path) -> None:
        """A client that is killed, or a mount that somebody takes away."""

        async def story(guest: _Guest) -> None:
            share = self.make_share(guest.directory)
            async with guest.engine() as engine:
                await engine.apply(share)
                guest.break_mount(share)
                async with asyncio.timeout(DEADLINE_S):
                    await guest.lost.wait()
                await engine.apply(share)
                assert engine.presence(TRIED) is Presence.MOUNTED
                assert self.entries <= set(await asyncio.to_thread(os.listdir, share.mount_point))
                await engine.apply(_unmount())
            guest.assert_bare(share)

        self._tell(tmp_path, story)

    def test_a_read_only_share_refuses_writers(self, tmp_path: Path) -> None:
        """Root included."""

        async def story(guest: _Guest) -> None:
            share = self.make_share(guest.directory)
            read_only = type(share)(**{**_fields(share), "readonly": True})
            async with guest.engine() as engine:
                await engine.apply(read_only)
                try:
                    await asyncio.to_thread((Path(share.mount_point) / "new").write_text, "x")
                except OSError:
                    pass
                else:
                    raise AssertionError("a read-only share was written to")
                finally:
                    await engine.apply(_unmount())

        self._tell(tmp_path, story)

    def _tell(self, directory: Path, story: Callable[[_Guest], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(_told(directory, self.driver, self.find_programs(), self.views, story))


def _unmount() -> ShareMount:
    return ShareMount(id=TRIED, action=Action.UNMOUNT)


def _fields(share: ShareMount) -> dict[str, Any]:
    return {name: getattr(share, name) for name in share.__struct_fields__}


async def _told(
    directory: Path,
    driver: Driver,
    programs: dict[str, Path],
    views: Views,
    story: Callable[[_Guest], Coroutine[Any, Any, None]],
) -> None:
    (directory / "shares").mkdir()
    async with Walker() as walker:
        with MountTableWatcher() as table:
            guest = _Guest(directory, driver, programs, views, walker, table)
            try:
                async with asyncio.timeout(DEADLINE_S * 2):
                    await story(guest)
            finally:
                guest.clean_up()


@dataclass(slots=True)
class _Guest:
    """One guest with one driver; its memory of live mounts outlives its engines."""

    directory: Path
    driver: Driver
    programs: dict[str, Path]
    views: Views
    walker: Walker
    table: MountTableWatcher
    memory: _Memory = field(default_factory=lambda: _Memory())
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[MountEngine]:
        """Make an engine as an agent that starts would; leaving throws it away, and the mounts stay."""
        roots = (str(self.directory),)
        engine = MountEngine(
            drivers={self.driver.name: self.driver},
            programs={**Programs(()), **self.programs},
            walker=self.walker,
            table=self.table,
            policy=Policy(roots=roots, source_roots=roots),
            live=self.memory,
            resolve=lambda share: share,
            run_dir=self.directory / "run",
            state_dir=self.directory / "state",
            boot_id=read_boot_id(),
            on_change=self._note,
            views=self.views,
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()

    def _note(self, share_id: ShareId, error: MountError | None) -> None:
        if error is not None:
            self.lost.set()

    def facts(self, share: ShareMount) -> tuple[object, ...]:
        """Return what must not change while a mount is left alone."""
        live = self.memory.mounts[TRIED]
        return live.mount_id, live.process, [entry.mount_id for entry in read_mount_table().at(share.mount_point)]

    def break_mount(self, share: ShareMount) -> None:
        """Do the worst to it that can happen from outside."""
        process = self.memory.mounts[TRIED].process
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)
        else:
            subprocess.run(["umount", "-l", share.mount_point], check=True)

    def assert_no_secret_in_command_lines(self, share: ShareMount) -> None:
        """Look at the running client as anybody in the guest can."""
        process = self.memory.mounts[TRIED].process
        shown = Path(f"/proc/{process.pid}/cmdline").read_text() if process is not None else ""
        assert [secret for secret in share_secrets(share) if secret in shown] == []

    def assert_bare(self, share: ShareMount) -> None:
        """Nothing of the share is left."""
        assert read_mount_table().at(share.mount_point) == ()
        assert self.memory.mounts == {}
        assert list((self.directory / "shares").iterdir()) == []
        assert list((self.directory / "run" / "private").iterdir()) == []

    def clean_up(self) -> None:
        """After a failure: end the client and detach what stands."""
        for live in self.memory.mounts.values():
            if live.process is not None:
                subprocess.run(["kill", "-KILL", str(live.process.pid)], check=False, capture_output=True)
        for entry in reversed(read_mount_table().below(str(self.directory))):
            subprocess.run(["umount", "-l", entry.mount_point], check=False, capture_output=True)


class _Memory:
    """Records of live mounts."""

    def __init__(self) -> None:
        self.mounts: dict[ShareId, LiveMount] = {}

    def live(self) -> list[LiveMount]:
        """Return all."""
        return list(self.mounts.values())

    def find_live(self, share_id: ShareId) -> LiveMount | None:
        """Return one."""
        return self.mounts.get(share_id)

    def record_live(self, mount: LiveMount) -> None:
        """Keep one."""
        self.mounts[mount.share_id] = mount

    def forget_live(self, share_id: ShareId) -> None:
        """Drop one."""
        self.mounts.pop(share_id, None)
