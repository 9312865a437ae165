"""From a started process to a mount that shows: whichever comes first of mounted, ended, refused and too late."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from agent.drivers.base import Driver, MountCommand
from agent.mounts.cage_calls import INSIDE
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


async def wait_until_up(process: ClientProcess, command: MountCommand, *, driver: Driver) -> None:
    """
    Wait for *process* to mount in its cage; every step is an event, nothing is polled.

    Args:
        process: What was started.
        command: How.
        driver: Knows what it reports.

    Raises:
        StartFailed: it ended or said no, or the command's deadline passed.
    """
    table = MountTableWatcher(f"/proc/{process.identity.pid}/mountinfo")
    race = _Race(process, command, driver, table)
    forget_exit = process.on_exit(race.note_exit)
    if process.status_pipe is not None:
        process.status_pipe.on_message(race.listen)
    try:
        async with asyncio.timeout(command.deadline_s):
            with suppress(OSError):  # it has ended already
                table.start()
                table.subscribe(lambda _: race.look())
                race.look()
            await race.outcome
    except TimeoutError as exc:
        raise StartFailed(None) from exc
    except StartFailed as failed:
        if failed.said:
            await process.wait(deadline_s=_EXIT_AFTER_REFUSAL_S)
            raise StartFailed(process.exit_code, failed.said) from failed
        raise
    finally:
        table.close()
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

    def __init__(self, process: ClientProcess, command: MountCommand, driver: Driver, table: MountTableWatcher) -> None:
        self.outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process, self._command, self._driver, self._table = process, command, driver, table

    def look(self) -> None:
        if not self.outcome.done() and find_started(self._command, INSIDE, self._table.current) is not None:
            self.outcome.set_result(None)

    def note_exit(self) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(StartFailed(self._process.exit_code))

    def listen(self) -> None:
        assert self._process.status_pipe is not None
        said = self._driver.find_start_failure(self._process.status_pipe.message)
        if said is not None and not self.outcome.done():
            self.outcome.set_exception(StartFailed(None, said))
