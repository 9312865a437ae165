"""What the kernel says about a process: memory, CPU time, children."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
KIB_PER_MB = 1000 * 1000 / 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Memory of one process, in MB.

    Attributes:
        rss: Resident, pages that others use too included.
        pss: Resident, pages that others use too counted in part.
    """

    rss: float
    pss: float


def read_memory(pid: int) -> Memory:
    """Read how much memory process *pid* has."""
    values: dict[str, float] = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        values[name] = int(rest.split()[0]) / KIB_PER_MB
    return Memory(values["Rss"], values["Pss"])


def read_cpu_s(pid: int) -> float:
    """Read how many seconds of CPU time process *pid* has used."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def find_children(pid: int) -> list[int]:
    """Name the processes that *pid* started, and those that they did."""
    found: list[int] = []
    for task in (PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *find_children(int(child))]
    return found
