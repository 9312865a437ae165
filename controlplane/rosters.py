"""Rosters kept elsewhere: in a file, or known to a program of the operator's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from controlplane.plain_values import parse_values
from controlplane.roster import unknown
from controlplane.textfile import read_text, too_large
from controlplane.vm_lists import parse_vm_ids
from weft.errors import ConfigError, RosterError
from weft.wire.ids import VmId

COMMAND_TIMEOUT_S = 60.0
MOST_PRINTED_BYTES = 16 << 20
"""A hundred thousand ids of the greatest length."""
SHOWN_BYTES = 300
"""How much of a program's complaint an error repeats."""


class FileRoster:
    """
    Classes in a JSON or TOML file that maps each class to its VMs; it is read again whenever it changed.

    The VMs are an array, or a text as :func:`controlplane.vm_lists.parse_vm_ids` reads it; ranges may stand in both.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._classes: Mapping[str, tuple[VmId, ...]] = {}

    async def classes(self) -> Collection[str]:
        """Name every class; a file that cannot be read or names none is a RosterError."""
        return tuple(self._read())

    async def members(self, name: str) -> Collection[str]:
        """List the VMs of class *name*; raises UnknownNameError, and RosterError as :meth:`classes`."""
        classes = self._read()
        if name not in classes:
            raise unknown("class", name, classes)
        return classes[name]

    def _read(self) -> Mapping[str, tuple[VmId, ...]]:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._classes = parse_roster(read_text(self._path), where=str(self._path))
                self._stamp = stamp
        except OSError as exc:
            raise RosterError(f"cannot read roster {self._path}: {(exc.strerror or 'no such file').lower()}") from exc
        except ValueError as exc:
            raise RosterError(f"cannot read roster {str(self._path)!r}: it is no path") from exc
        except ConfigError as exc:
            raise RosterError(f"cannot use roster {self._path}: {exc}") from exc
        return self._classes


def parse_roster(text: str, *, where: str) -> dict[str, tuple[VmId, ...]]:
    """
    Read a roster.

    Raises:
        RosterError: It is neither JSON nor TOML, maps no class, or a class to something else than VM ids.
    """
    try:
        content = parse_values(text, where=where)
    except ConfigError as exc:
        raise RosterError(f"cannot use roster {where}: {exc}") from exc
    if not isinstance(content, dict) or not content:
        raise RosterError(f"cannot use roster {where}: it names no class")
    return {name: _vm_ids(name, value, where) for name, value in content.items()}


def _vm_ids(name: str, value: Any, where: str) -> tuple[VmId, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
        raise RosterError(f"cannot use roster {where}: class {name!r} is no list of VM ids")
    try:
        return parse_vm_ids("\n".join(texts), where=where)
    except ConfigError as exc:
        raise RosterError(f"cannot use class {name!r} of roster {where}: {exc}") from exc


class CommandRoster:
    """
    Classes that a program knows: called with a class it prints its VMs, without it prints the classes.

    It succeeds with exit code 0; anything else, and printing nothing, is a failure and never an empty class.

    Args:
        command: Program and arguments, as a shell would split them; no shell runs it.
        timeout_s: Seconds it may take.
    """

    def __init__(self, command: str, *, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        try:
            self._argv = shlex.split(command)
        except ValueError as exc:
            raise ConfigError([f"cannot use roster command {command!r}: {exc}"]) from exc
        if not self._argv:
            raise ConfigError(["cannot use an empty roster command"])
        self._timeout_s = timeout_s

    async def classes(self) -> Collection[str]:
        """Name every class; raises RosterError where the program fails."""
        return tuple((await self._run()).split())

    async def members(self, name: str) -> Collection[str]:
        """List the VMs of class *name*; raises RosterError where the program fails."""
        text = await self._run(name)
        try:
            return parse_vm_ids(text, where=f"the answer of {self._argv[0]}")
        except ConfigError as exc:
            raise RosterError(str(exc)) from exc

    async def _run(self, *arguments: str) -> str:
        program = self._argv[0]
        about = f"roster {' '.join([program, *arguments])!r}"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise RosterError(f"cannot run {about}: {os.strerror(exc.errno or 0).lower()}") from exc
        readings = [asyncio.ensure_future(_bounded(stream)) for stream in (process.stdout, process.stderr)]
        try:
            async with asyncio.timeout(self._timeout_s):
                out, err = await asyncio.gather(*readings)
                await process.wait()
        except ConfigError as exc:
            raise RosterError(f"cannot use {about}: it printed more than {MOST_PRINTED_BYTES >> 20} MiB") from exc
        except TimeoutError as exc:
            raise RosterError(f"cannot use {about}: no answer within {self._timeout_s:g} s") from exc
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started holds the same pipes
                for reading in readings:
                    reading.cancel()
                await asyncio.gather(*readings, return_exceptions=True)
                await process.communicate()  # its end is not seen before the rest of its pipes was read
        if process.returncode:
            said = " ".join(err[-SHOWN_BYTES:].decode(errors="replace").split())
            raise RosterError(f"cannot use {about}: it ended with exit code {process.returncode}: {said or 'silently'}")
        if not out.strip():
            raise RosterError(f"cannot use {about}: it printed nothing, which never means an empty class")
        return out.decode(errors="replace")


async def _bounded(stream: asyncio.StreamReader | None) -> bytes:
    """Read *stream* to its end, or until it is more than any roster."""
    assert stream is not None, "piped"
    content = bytearray()
    while chunk := await stream.read(1 << 16):
        content += chunk
        if len(content) > MOST_PRINTED_BYTES:
            raise too_large("it", MOST_PRINTED_BYTES)
    return bytes(content)
