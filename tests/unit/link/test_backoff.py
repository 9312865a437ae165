"""How the wait before a reconnect grows and spreads."""

from __future__ import annotations

import pytest

from weft.link.backoff import SHORTEST_S, reconnect_delay_s


@pytest.mark.parametrize(
    ("attempt", "bound_s"),
    [
        pytest.param(1, 0.5, id="first try after a loss"),
        pytest.param(3, 2.0, id="doubles"),
        pytest.param(9, 8.0, id="up to the cap"),
        pytest.param(10_000, 8.0, id="after hours without overflowing"),
    ],
)
def test_wait_is_spread_over_the_whole_bound(attempt: int, bound_s: float) -> None:
    """Full jitter: half the draw gives half the bound, so a fleet comes back evenly spread."""
    assert reconnect_delay_s(attempt, cap_s=8.0, jitter=0.5) == bound_s / 2


def test_wait_is_never_zero() -> None:
    """The unluckiest draw does not turn retrying into a spin."""
    assert reconnect_delay_s(1, cap_s=8.0, jitter=0.0) == SHORTEST_S > 0
