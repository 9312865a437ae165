"""The rig that engine tests share."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.mounts.engine import MountEngine
from tests.parts.engine_rig import EngineRig, engine_rig
from tests.parts.leftovers import remove_leftovers


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[EngineRig]:
    """A guest on which nothing is mounted."""
    async with engine_rig(tmp_path) as made:
        yield made


@pytest.fixture
async def engine(rig: EngineRig) -> AsyncIterator[MountEngine]:
    """An engine that has started."""
    async with rig.engine() as started:
        yield started


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a short path for an agent of its own, and nothing mounted below it afterwards."""
    with tempfile.TemporaryDirectory(prefix="wk-", ignore_cleanup_errors=True) as short:
        try:
            yield Path(short)
        finally:
            remove_leftovers(Path(short))
