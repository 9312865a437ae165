"""What this guest's agent runs on, found where it lies: no share may cover it, lie in it, or show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.drivers.base import Driver
from agent.programs import Programs
from weft.wire.paths import system_directory_of

_PACKAGES: Final = ("agent", "weft", "nats", "nkeys", "msgspec", "structlog")
_ACCOUNTS: Final = Path("/etc/passwd")
_NO_SHELLS: Final = frozenset({"nologin", "false", "true", "sync", "halt", "shutdown"})

_LINKS_AT_MOST: Final = 40
"""As many as the kernel follows."""

RUNS_FROM: Final = "which the agent runs from"
STARTS: Final = "from which the agent starts programs"
KEEPS: Final = "which is the agent's own"


def find_protected(
    programs: Programs,
    drivers: Iterable[Driver],
    *,
    directories: Iterable[Path] = (),
    files: Iterable[Path] = (),
    import_path: Iterable[str] = (),
) -> dict[str, str]:
    """
    Find the directories and files that the agent depends on, by every name that leads to them.

    Args:
        programs: What it starts.
        drivers: What mounts; those of other packages lie where their packages do.
        directories: Its own: state, run directory, credentials.
        files: What it reads at its start.
        import_path: Further directories that the interpreter imports from, at this start or the next.

    Returns:
        Path → what it is to the agent, the end of a sentence. What is a system directory anyway is left out.
    """
    found: dict[str, str] = {}
    for what, paths in (
        (KEEPS, (*directories, *files)),
        (RUNS_FROM, (*_interpreter(), *_packages(drivers), *import_path)),
        (STARTS, _program_directories(programs)),
    ):
        for path in paths:
            for name in find_names(path):
                if name != "/" and system_directory_of(name) is None:
                    found.setdefault(name, what)
    return found


def find_names(path: str | Path) -> Iterator[str]:
    """
    Yield *path* and what each symbolic link on the way makes of it, down to its real name.

    Whoever covers the directory in which one of the links lies decides where they lead.
    """
    name = os.path.abspath(path)
    for _ in range(_LINKS_AT_MOST):
        yield name
        link = next((part for part in reversed((name, *map(str, Path(name).parents))) if os.path.islink(part)), None)
        if link is None:
            break
        target = os.path.join(os.path.dirname(link), os.readlink(link))
        name = os.path.normpath(target + name[len(link) :])
    yield os.path.realpath(path)


def read_homes() -> frozenset[str]:
    """Read the home directories of the accounts that are this guest's own; none where they cannot be read."""
    try:
        return parse_homes(_ACCOUNTS.read_text(errors="surrogateescape"))
    except OSError:
        return frozenset()


def parse_homes(accounts: str) -> frozenset[str]:
    """
    Read the homes of accounts that somebody can log in to.

    Args:
        accounts: The text of ``/etc/passwd``.
    """
    homes = set()
    for line in accounts.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[5].startswith("/") and os.path.basename(fields[6]) not in _NO_SHELLS:
            homes.add(os.path.normpath(fields[5]))
    return frozenset(homes - {"/"})


def _interpreter() -> Iterator[str]:
    """Name what Python itself is made of; the program may be a link out of its prefix."""
    yield from (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    yield os.path.dirname(os.__file__)
    if sys.executable:
        yield from map(os.path.dirname, find_names(sys.executable))


def _packages(drivers: Iterable[Driver]) -> Iterator[str]:
    names = {*_PACKAGES, *(type(driver).__module__.partition(".")[0] for driver in drivers)}
    for name in sorted(names & sys.modules.keys()):
        module = sys.modules[name]
        yield from getattr(module, "__path__", ())
        if file := getattr(module, "__file__", None):
            yield os.path.dirname(file)


def _program_directories(programs: Programs) -> Iterator[str]:
    yield from programs.directories
    for name in programs:
        yield from map(os.path.dirname, find_names(programs[name]))
