"""Which process is meant: pid, start time and boot together name one process for ever."""

from __future__ import annotations

import os
from pathlib import Path

from agent.actual import ProcessIdentity

_START_TICKS_FIELD = 22 - 3
"""``starttime`` is field 22; the fields after the command's closing parenthesis begin with field 3."""


def parse_stat(text: str) -> tuple[str, int]:
    """
    Read state and start time from the text of ``/proc/<pid>/stat``.

    Args:
        text: One line; the command in it may hold spaces and parentheses, so the last ``)`` ends it.

    Returns:
        The state letter, and clock ticks since boot.

    Raises:
        ValueError: the text is not of that form.

    Source:
        proc_pid_stat(5).
    """
    fields = text.rpartition(")")[2].split()
    if len(fields) <= _START_TICKS_FIELD:
        raise ValueError(f"cannot read process status {text!r}")
    return fields[0], int(fields[_START_TICKS_FIELD])


def read_boot_id(path: Path = Path("/proc/sys/kernel/random/boot_id")) -> str:
    """Read what tells this boot of the guest from every other."""
    return path.read_text().strip()


def identify_process(pid: int, *, boot_id: str) -> ProcessIdentity | None:
    """
    Name the process that has *pid* now.

    Returns:
        None where there is no such process, or only a zombie of it.
    """
    try:
        state, start_ticks = parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else ProcessIdentity(pid=pid, start_ticks=start_ticks, boot_id=boot_id)


def is_stopped(pid: int) -> bool:
    """Say whether the process *pid* was stopped by a signal; one that a debugger holds for a moment was not."""
    try:
        state, _ = parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state == "T"


def find_by_output(output: Path) -> tuple[int, ...]:
    """
    List our user's processes whose standard output is the file *output*; no file system but ``/proc`` is asked.

    A client's output file is its own, so this also finds a client that was started just before its starter was killed,
    and the helpers it left behind. In a mount namespace of his own, any user has a file of that name.
    """
    wanted = str(output)
    found = (name for name in os.listdir("/proc") if name.isdigit() and _output_of(name) == wanted)
    return tuple(int(name) for name in found if _user_of(name) == os.geteuid())


def _user_of(pid: str) -> int | None:
    """Read the real user, who does not become another in a user namespace of his own."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Uid:")), None)


def _output_of(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/fd/1").removesuffix(" (deleted)")
    except OSError:
        return None  # ended meanwhile, closed, or a kernel thread
