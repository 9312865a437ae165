"""Fixtures that several rooms share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.parts.broker import Broker
from tests.parts.leftovers import nothing_left

__all__ = ["nothing_left"]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker with JetStream."""
    async with Broker(tmp_path / "broker", jetstream=True) as running:
        yield running


@pytest.fixture
async def plain_broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A broker without JetStream."""
    async with Broker(tmp_path / "plain-broker", jetstream=False) as running:
        yield running
