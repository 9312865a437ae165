"""Shares in use when they go: their holders are named while they are waited for, and afterwards."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from agent.mounts.engine import MountEngine
from tests.parts.engine_rig import EngineRig, slate
from tests.parts.shares import unmount
from weft.errors import BusyError
from weft.wire.ids import ShareId

pytestmark = pytest.mark.integration


async def test_holders_are_named_while_they_are_waited_for_and_when_it_was_in_vain(
    rig: EngineRig, engine: MountEngine
) -> None:
    """With pid, command and path, as an administrator needs them."""
    await engine.apply(slate("a", rig.root / "a"))
    with rig.held_open(rig.root / "a" / "hello"):
        await engine.apply(unmount("a"))
    waiting, detached = (remark for _, remark in rig.remarks)
    assert isinstance(waiting, BusyError)
    assert isinstance(detached, BusyError)
    for remark in (waiting, detached):
        assert f"pid {os.getpid()} (" in remark.detail
        assert str(rig.root / "a" / "hello") in remark.detail
    assert "in use by" in waiting.message
    assert "detached" in detached.message


async def test_holders_that_let_go_are_forgotten(rig: EngineRig) -> None:
    """Nothing is left to be said then."""
    rig.limits = replace(rig.limits, busy_s=10)
    async with rig.engine() as engine:
        await engine.apply(slate("a", rig.root / "a"))
        with rig.held_open(rig.root / "a" / "hello"):
            going = asyncio.create_task(engine.apply(unmount("a")))
            async with asyncio.timeout(5):
                await rig.wait_for_remark()
        await going
    assert rig.remarks[-1] == (ShareId("a"), None)
