"""Asking CubeFS masters, where no cluster is needed to know the answer."""

from __future__ import annotations

import pytest

from agent.drivers.cubefs_master import check_access
from weft.errors import ErrorCode, MountError
from weft.wire.blocks import CubefsBlock


async def test_a_master_whose_name_cannot_be_looked_up_is_unreachable() -> None:
    """A label that is empty or too long is no fault of this program, and the name is worth correcting."""
    block = CubefsBlock(volume="team", masters=("a..b:17010", f"{'x' * 64}.example:17010"), owner="o")
    with pytest.raises(MountError) as caught:
        await check_access("team-data", block, deadline_s=5)
    assert caught.value.code is ErrorCode.UNREACHABLE
    assert "a..b:17010: it is no host name" in caught.value.detail
