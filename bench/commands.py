"""The ``weft`` command as an operator runs it: a process of its own, timed from its start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from bench.child import ROOT


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run.

    Attributes:
        took_ms: From start to end.
        cpu_ms: What the process itself used; on a busy machine this says more.
        output: What it printed, on both streams.
    """

    took_ms: float
    cpu_ms: float
    output: str


def run_weft(url: str, *arguments: str) -> Run:
    """
    Run ``weft`` against the broker at *url*.

    Raises:
        RuntimeError: It failed.
    """
    return _run("-m", "controlplane.cli", "-s", url, *arguments)


def run_python(code: str) -> Run:
    """Run an interpreter that does only *code*; raises as :func:`run_weft`."""
    return _run("-c", code)


def _run(*arguments: str) -> Run:
    with tempfile.TemporaryFile() as output:
        started_s = time.monotonic()
        process = subprocess.Popen((sys.executable, *arguments), cwd=ROOT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        took_s = time.monotonic() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode()
    if process.returncode != 0:
        raise RuntimeError(f"cannot run {' '.join(arguments)}: it said {text[-300:]!r}")
    return Run(took_s * 1000, (usage.ru_utime + usage.ru_stime) * 1000, text)
