"""A broker with the accounts that ``weft auth init`` writes, and the streams of ``weft init``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.auth.roles import Role
from controlplane.streams import ensure
from tests.parts.realm import Realm
from weft.link import Link


@pytest.fixture
async def realm(tmp_path: Path) -> AsyncIterator[Realm]:
    """A realm whose broker runs."""
    made = Realm(tmp_path)
    async with made.broker:
        yield made


@pytest.fixture
async def streams(realm: Realm) -> Realm:
    """The realm, with its streams made by an admin."""
    async with realm.connected(Role.ADMIN, "root") as link:
        await ensure(link)
    return realm


@pytest.fixture
async def operator(streams: Realm) -> AsyncIterator[Link]:
    """An operator's link; the streams are there."""
    async with streams.connected(Role.OPERATOR, "ann") as link:
        yield link
