"""An installed guest before anybody published anything."""

from __future__ import annotations

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import agent_pid
from tests.guest.template import AGENT_UNIT, SHARES_UNIT

pytestmark = pytest.mark.integration

NOBODY = "nats://127.0.0.1:4222"


async def test_a_guest_without_a_broker_boots_calmly(fleet: Fleet) -> None:
    """Both units are active when the boot is over, nothing has failed, and the agent answers."""
    guest = await fleet.add_member("alpha", NOBODY)
    await guest.boot()
    assert (await guest.run("systemctl", "is-active", AGENT_UNIT, SHARES_UNIT)).split() == ["active", "active"]
    assert (await guest.run("systemctl", "is-system-running")).strip() == "running"
    assert '"alpha"' in await guest.run("weft-agent", "status", "-o", "json", user="pupil")


async def test_mounts_of_the_agent_are_everybodys(fleet: Fleet) -> None:
    """The agent has the guest's own mount namespace; in one of its own nobody would see what it mounts."""
    guest = await fleet.add_member("alpha", NOBODY)
    await guest.boot()
    links = await guest.run("readlink", "/proc/1/ns/mnt", f"/proc/{await agent_pid(guest)}/ns/mnt")
    assert len(set(links.split())) == 1


async def test_systemd_understands_every_line_of_the_units(fleet: Fleet) -> None:
    """Nothing in the units is unknown to Debian 12's systemd, which would leave it out and only say so in a log."""
    guest = await fleet.add_member("alpha", NOBODY)
    await guest.boot()
    code, out, err = await guest.attempt("systemd-analyze", "verify", "--man=no", AGENT_UNIT, SHARES_UNIT)
    assert (out + err, code) == ("", 0)
