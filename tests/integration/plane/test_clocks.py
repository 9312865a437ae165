"""Operators whose clocks are wrong by days: nothing is taken away, and revisions grow and are obeyed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec
import pytest

import controlplane.part
from controlplane import ControlPlane
from tests.integration.plane.test_publish import names
from tests.parts.broker import Broker
from tests.unit.controlplane.makers import share

pytestmark = pytest.mark.integration

DAYS_3_S = 3 * 86_400.0 + 60.0


@pytest.fixture
def shift_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put this machine's clock off by so many seconds, wherever the control plane asks for it."""
    real_s, real_ns = time.time, time.time_ns

    def shift(seconds: float) -> None:
        class Shifted(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return datetime.fromtimestamp(real_s() + seconds, tz)

        monkeypatch.setattr(time, "time", lambda: real_s() + seconds)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + round(seconds * 1e9))
        monkeypatch.setattr(controlplane.part, "datetime", Shifted)

    return shift


async def test_a_clock_behind_by_days_lets_no_revision_fall(
    broker: Broker, plane: ControlPlane, shift_clock: Callable[[float], None]
) -> None:
    """The broker's clock counts, and the difference is said."""
    first = await plane.publish(share("a"), vms=names(1))
    shift_clock(-DAYS_3_S)
    second = await plane.publish(share("b"), vms=names(1))
    assert second.stored["vm-0"] > first.stored["vm-0"]
    assert "the clock of this machine is 3d behind the broker's" in second.warnings


async def test_a_clock_ahead_by_days_is_obeyed_all_the_same(
    broker: Broker, plane: ControlPlane, shift_clock: Callable[[float], None]
) -> None:
    """Guests refuse revisions from the future, so there are none."""
    shift_clock(DAYS_3_S)
    fan_out = await plane.publish(share("a"), vms=names(1))
    assert fan_out.stored["vm-0"] < (datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000


async def test_a_clock_ahead_by_days_ends_no_share(
    broker: Broker, plane: ControlPlane, shift_clock: Callable[[float], None]
) -> None:
    """What expires tomorrow stays in the catalog and in lists."""
    tomorrow = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    await plane.publish(msgspec.structs.replace(share("a"), expires_at=tomorrow), vms=names(3))
    shift_clock(DAYS_3_S)
    fan_out = await plane.sync()
    assert (set(fan_out.unchanged), [record.share.id for record in await plane.shares()]) == (set(names(3)), ["a"])
