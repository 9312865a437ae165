"""How a step of the demonstration is told."""

from __future__ import annotations

import pytest

from controlplane.cli.commands.demo import line_of
from controlplane.demo.play import Told
from controlplane.demo.steps import Seen


@pytest.mark.parametrize(
    ("told", "line"),
    [
        pytest.param(Told("it mounts", True, 0.3149, Seen()), "✓  0.31 s  it mounts", id="true"),
        pytest.param(Told("it mounts", True, 12.0, Seen("pid 7")), "✓ 12.00 s  it mounts (pid 7)", id="with a detail"),
        pytest.param(Told("it mounts", False, 0.0, Seen("no")), "✗  0.00 s  it mounts: no", id="not true"),
    ],
)
def test_a_step_is_one_line(told: Told, line: str) -> None:
    """Mark, time, sentence, and what was seen."""
    assert line_of(told) == line
