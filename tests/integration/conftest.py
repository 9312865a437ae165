"""The rig that tests of the engine share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.mounts.engine import MountEngine
from tests.parts.engine_rig import EngineRig, engine_rig


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
