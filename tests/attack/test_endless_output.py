"""A backend that never stops talking: what programs print of it is read to the end and kept in part."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from agent.drivers.failures import find_sign, last_lines
from agent.drivers.rclone_failures import SIGNS
from agent.drivers.short_run import run_program
from tests.attack.conftest import CountProbes

MIB = 1 << 20

PRINTERS = {
    "many names": "import sys\nfor _ in range(64): sys.stdout.write('name\\n' * 200_000)",
    "one name": "import sys\nfor _ in range(64): sys.stdout.write('x' * 1_000_000)",
    "many complaints": "import sys\nfor _ in range(64): sys.stderr.write('error\\n' * 200_000)",
    "both": "import sys\nfor _ in range(64): sys.stdout.write('x' * 1_000_000); sys.stderr.write('y' * 1_000_000)",
}


@pytest.mark.integration
@pytest.mark.parametrize("code", PRINTERS.values(), ids=PRINTERS.keys())
async def test_what_a_program_prints_fills_no_memory(code: str, count_probes: CountProbes) -> None:
    """It runs to its end, and a megabyte of what it printed is never held."""
    tracemalloc.start()
    try:
        finished = await run_program((sys.executable, "-c", f"{code}\nsys.exit(3)"), env={}, deadline_s=60)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert finished is not None
    assert finished.exit_code == 3
    assert 0 < len(finished.output) < MIB // 4
    assert peak < 8 * MIB
    count_probes("endless outputs")


@pytest.mark.integration
async def test_a_program_that_never_ends_is_killed(count_probes: CountProbes) -> None:
    """At its deadline, and nothing of what it printed is held."""
    assert await run_program((sys.executable, "-c", "while True: print('x' * 9999)"), env={}, deadline_s=1) is None
    count_probes("endless outputs")


@pytest.mark.parametrize("text", ["x" * MIB, "error " * (MIB // 6), "\n" * MIB, "403 " * 9999, "login:" * 99999])
def test_a_long_complaint_is_short_in_a_status(text: str, count_probes: CountProbes) -> None:
    """Looked through in no time, and cut."""
    find_sign(text, SIGNS)
    assert len(last_lines(text)) <= 8192
    count_probes("endless outputs")
