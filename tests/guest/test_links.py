"""The network between a guest and the broker is cut and healed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import serving
from tests.guest.outside import FolderServer, Outside, standing_outside
from tests.parts.shares import bind

pytestmark = pytest.mark.integration

GIVEN_UP = re.compile(r"Stale Client Connection")
IMPATIENT = "ping_interval: 3s\nping_max: 3\ndebug: true"
"""The broker gives up on a silent guest after about ten seconds, and says so."""


@pytest.fixture
async def impatient(bridge: None, tmp_path: Path) -> AsyncIterator[Outside]:
    """A broker that soon closes the connection of a guest which it does not hear."""
    async with standing_outside(tmp_path, broker_config=IMPATIENT) as outside:
        yield outside


@pytest.mark.parametrize(
    ("cut", "heal"), [pytest.param("pull", "plug", id="cable"), pytest.param("swallow", "forward", id="silent-loss")]
)
async def test_a_guest_hears_again_after_a_long_cut(
    fleet: Fleet, impatient: Outside, folder: FolderServer, cut: str, heal: str
) -> None:
    """What was published while the broker had given up on the guest arrives after the cut; mounts stay meanwhile."""
    guest = await fleet.add_member("alpha", impatient.broker.url)
    await guest.boot()
    await impatient.converge(folder.share("lesson", "/mnt/lesson"), "alpha")
    before = await serving(guest)
    getattr(guest.port, cut)()
    await impatient.broker.logged(GIVEN_UP)
    await impatient.plane.publish(bind("notes", source="/media"), vms=["alpha"])
    assert await serving(guest) == before
    getattr(guest.port, heal)()
    await impatient.converged("notes")
    after = await serving(guest)
    assert after.clients == before.clients
    assert after.mount_ids["/mnt/lesson"] == before.mount_ids["/mnt/lesson"]
    await impatient.converge(bind("later", source="/media"), "alpha")
