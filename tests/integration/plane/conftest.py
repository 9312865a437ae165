"""A control plane on a broker of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from controlplane import ControlPlane
from tests.parts.broker import Broker


@pytest.fixture
async def plane(broker: Broker) -> AsyncIterator[ControlPlane]:
    """A control plane whose streams are made."""
    async with ControlPlane.connect(broker.url, operator="teacher") as connected:
        await connected.init()
        yield connected
