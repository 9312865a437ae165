"""From a started process to a mount that shows: whichever comes first of mounted, ended, refused and too late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.drivers.base import Driver, MountCommand
from agent.mounts.mountinfo import MountEntry, MountTable
from agent.mounts.table import MountTableWatcher
from agent.supervise.process import ClientProcess
from weft.errors import WeftError

_EXIT_AFTER_REFUSAL_S = 1.0
"""A client that said why its start failed ends within milliseconds; its exit code belongs to the story."""


class StartFailed(WeftError):
    """
    The mount did not come up; the driver turns this into an error for operators.

    Args:
        exit_code: Of the process; None while it still ran.
        said: What it reported through its status pipe.
        root_errno: Of the first read of the root directory, where it came that far.
    """

    def __init__(self, exit_code: int | None, said: str = "", root_errno: int | None = None) -> None:
        super().__init__(f"cannot start: exit code {exit_code}")
        self.exit_code = exit_code
        self.said = said
        self.root_errno = root_errno


class WentAstray(StartFailed):
    """It was mounted, but elsewhere: its mount point was replaced meanwhile."""


async def wait_until_up(
    process: ClientProcess,
    command: MountCommand,
    path: str,
    *,
    driver: Driver,
    table: MountTableWatcher,
    strays: Callable[[], tuple[MountEntry, ...]] = tuple,
) -> MountEntry:
    """
    Wait for the mount of *process* to show at *path*; every step is an event, nothing is polled.

    Args:
        process: What was started.
        command: How.
        path: Where its mount belongs.
        driver: Knows what it reports.
        table: The mount table.
        strays: Says what it mounted elsewhere.

    Returns:
        Its entry. A command that mounts and returns has also ended well by then: what it does after mount(2), such as
        making a bind read-only, is part of it.

    Raises:
        StartFailed: it ended or said no, or the command's deadline passed.
        WentAstray: its mount shows elsewhere.
    """
    race = _Race(process, command, path, driver, table, strays)
    unsubscribe = table.subscribe(lambda _: race.look())
    forget_exit = process.on_exit(race.look)
    if process.status_pipe is not None:
        process.status_pipe.on_message(race.listen)
    try:
        async with asyncio.timeout(command.deadline_s):
            table.refresh()
            race.look()
            return await race.outcome
    except TimeoutError as exc:
        raise StartFailed(None) from exc
    except StartFailed as failed:
        if failed.said:
            await process.wait(deadline_s=_EXIT_AFTER_REFUSAL_S)
            raise StartFailed(process.exit_code, failed.said) from failed
        raise
    finally:
        unsubscribe()
        forget_exit()
        if process.status_pipe is not None:
            process.status_pipe.on_message(None)


def find_started(command: MountCommand, path: str, table: MountTable) -> MountEntry | None:
    """Find the entry at *path* that is what *command* mounts; None while there is none, or it is covered."""
    entry = table.top_at(path)
    if entry is None or (command.fs_types and entry.fs_type not in command.fs_types):
        return None
    return entry if command.source in (None, entry.source) else None


class _Race:
    """Who comes first."""

    def __init__(
        self,
        process: ClientProcess,
        command: MountCommand,
        path: str,
        driver: Driver,
        table: MountTableWatcher,
        strays: Callable[[], tuple[MountEntry, ...]],
    ) -> None:
        self.outcome: asyncio.Future[MountEntry] = asyncio.get_running_loop().create_future()
        self._process, self._command, self._path = process, command, path
        self._driver, self._table, self._strays = driver, table, strays

    def look(self) -> None:
        if self.outcome.done():
            return
        if self._process.has_exited:
            self._judge_exit()
        elif self._command.is_client and (entry := find_started(self._command, self._path, self._table.current)):
            self.outcome.set_result(entry)
        elif self._command.is_client and self._strays():
            self.outcome.set_exception(WentAstray(None))

    def listen(self) -> None:
        assert self._process.status_pipe is not None
        said = self._driver.find_start_failure(self._process.status_pipe.message)
        if said is not None and not self.outcome.done():
            self.outcome.set_exception(StartFailed(None, said))

    def _judge_exit(self) -> None:
        entry = None
        if not self._command.is_client and self._process.exit_code == 0:
            entry = find_started(self._command, self._path, self._table.refresh())
        if entry is None:
            self._table.refresh()
            failure = WentAstray if self._strays() else StartFailed
            self.outcome.set_exception(failure(self._process.exit_code))
        else:
            self.outcome.set_result(entry)
