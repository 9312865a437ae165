"""Guests cloned from one that already had a ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.guest.fleet import Fleet
from tests.guest.inside import shares_in
from tests.guest.nspawn import Guest
from tests.guest.outside import Outside, is_mounted
from tests.parts.shares import bind

pytestmark = pytest.mark.integration

AUTO = "auto"


async def test_clones_leave_the_shares_of_their_original_alone(
    fleet: Fleet, installed_layers: tuple[Path, ...], outside: Outside
) -> None:
    """Another machine id makes another guest: it sets the ledger aside and mounts only what is its own."""
    original = await fleet.add_member("original", outside.broker.url, vm=AUTO)
    await original.boot()
    await outside.converge(bind("notes", source="/media"), await _machine_id(original))
    await original.power_off()

    layers = (original.own_files, *installed_layers)
    clones = [await fleet.add_member(name, outside.broker.url, vm=AUTO, layers=layers) for name in ("one", "two")]
    for clone in clones:
        clone.write("/etc/machine-id", "")
    await asyncio.gather(*(clone.boot() for clone in clones))
    one, two = [await _machine_id(clone) for clone in clones]
    await outside.converge(bind("own", source="/media"), one)
    await outside.reports.until(one, is_mounted("own"))
    report = await outside.reports.until(two, lambda status: True)
    assert report.shares == ()
    assert [entry.mount_point for entry in await shares_in(clones[0])] == ["/mnt/own"]
    assert await shares_in(clones[1]) == ()


async def _machine_id(guest: Guest) -> str:
    return (await guest.run("cat", "/etc/machine-id")).strip()
