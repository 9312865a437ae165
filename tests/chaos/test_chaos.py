"""A short run of chaos with the same seeds each time; ``make chaos`` plays longer, each time with another one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.chaos.__main__ import play

pytestmark = pytest.mark.integration

STORMS = 15
"""A number and not a time: so that the same things happen on a fast machine and on a slow one."""

SECONDS = 300.0


@pytest.mark.parametrize("seed", [3, 20])
async def test_every_rule_holds_whatever_happens(seed: int) -> None:
    """After each storm of faults and orders, two guests have exactly what operators asked for, and lost nothing."""
    with tempfile.TemporaryDirectory(prefix="wch-", ignore_cleanup_errors=True) as directory:
        tally = await play(Path(directory), seconds=SECONDS, storms=STORMS, seed=seed, guests=2, is_quiet=True)
    assert tally.storms == STORMS
