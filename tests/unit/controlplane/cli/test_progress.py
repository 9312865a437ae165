"""Progress where there is no terminal: a few lines."""

from __future__ import annotations

from controlplane.cli.progress import PlainLines
from controlplane.results import Progress


def test_a_line_per_quarter_and_phase() -> None:
    """A log of 10,000 VMs gets four lines per phase, the last one when all are done."""
    lines = PlainLines()

    told = [line for done in range(1001) for line in lines.lines_for(Progress("publish", done, 1000))]
    told += lines.lines_for(Progress("wait", 500, 1000, failed=2))

    assert told == [
        "publish: 250/1000",
        "publish: 500/1000",
        "publish: 750/1000",
        "publish: 1000/1000",
        "wait: 500/1000, 2 failed, 498 waiting",
    ]


def test_a_single_vm_needs_no_progress() -> None:
    """The summary says it all."""
    assert PlainLines().lines_for(Progress("publish", 1, 1)) == []
