"""``python -m bench`` as somebody would run it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WAIT_S = 60


async def run(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WAIT_S):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.integration
async def test_a_row_is_measured_printed_and_kept(tmp_path: Path) -> None:
    """The table names the figures with their targets, the file has their samples."""
    code, output = await run("plan", "--quick", "--json", str(tmp_path / "run.json"))
    assert code == 0, output
    assert "100 shares planned" in output
    assert "≤ 5.00 ms" in output
    document = json.loads((tmp_path / "run.json").read_text())
    assert document["effort"] == "quick"
    assert list(document["rows"]) == ["plan"]
    assert all(figure["samples"] for figure in document["rows"]["plan"])


@pytest.mark.integration
async def test_an_unknown_row_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A misspelt name measures nothing."""
    code, output = await run("fanout", "--json", str(tmp_path / "run.json"))
    assert code == 2
    assert "unknown row 'fanout'" in output
    assert "fan-out" in output
    assert not (tmp_path / "run.json").exists()
