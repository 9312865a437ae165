"""Every row, in the order in which they are measured."""

from __future__ import annotations

from bench.frame import Row
from bench.rows import (
    all_different,
    crowd,
    delivery,
    fan_out,
    idle,
    idle_shares,
    listing,
    overview,
    plan_time,
    readiness,
    twenty_shares,
    unchanged,
)

ROWS: tuple[Row, ...] = (
    fan_out.ROW,
    all_different.ROW,
    unchanged.ROW,
    delivery.ROW,
    crowd.ROW,
    overview.ROW,
    listing.ROW,
    readiness.ROW,
    twenty_shares.ROW,
    plan_time.ROW,
    idle.ROW,
    idle_shares.ROW,
)
