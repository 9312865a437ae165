"""The frame of a benchmark (pure): figures with their spread, ratios, targets, and how a row is declared."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


class Bound(enum.StrEnum):
    """On which side of its target a figure must lie."""

    BELOW = "below"
    ABOVE = "above"


@dataclass(frozen=True, slots=True)
class Target:
    """What the median of a figure must reach, in the figure's unit."""

    bound: Bound
    value: float

    def is_met(self, median: float) -> bool:
        """Say whether *median* is on the right side; the value itself is."""
        return median <= self.value if self.bound is Bound.BELOW else median >= self.value


def below(value: float) -> Target:
    """Promise at most *value*."""
    return Target(Bound.BELOW, value)


def above(value: float) -> Target:
    """Promise at least *value*."""
    return Target(Bound.ABOVE, value)


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One measured quantity.

    Attributes:
        name: What was measured.
        unit: Of every sample.
        samples: One per round, in the order they were taken.
        target: What was promised; None for a figure that others are compared with.
        note: What a reader must know to judge it.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    target: Target | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"cannot make figure {self.name!r}: it has no samples")

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """The smallest sample."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The largest sample."""
        return max(self.samples)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        return None if self.target is None else self.target.is_met(self.median)


def ratio(name: str, over: Figure, under: Figure, *, target: Target | None = None, note: str = "") -> Figure:
    """
    Compare two figures of one run.

    Rounds are compared pairwise where both have as many, since what disturbed a round disturbed both; else the
    medians are.

    Args:
        name: What the ratio says.
        over: The numerator.
        under: The denominator; no sample may be zero.
        target: What was promised of the ratio.
        note: For the reader.
    """
    if len(over.samples) == len(under.samples):
        samples = tuple(a / b for a, b in zip(over.samples, under.samples, strict=True))
    else:
        samples = (over.median / under.median,)
    return Figure(name, "×", samples, target, note)


def percentile(samples: Sequence[float], percent: float) -> float:
    """
    Return the smallest sample that at least *percent* of all samples do not exceed.

    Args:
        samples: At least one.
        percent: In (0, 100].
    """
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


class Effort(enum.Enum):
    """How much is measured: everything that was promised, or just enough to see that the row runs."""

    FULL = enum.auto()
    QUICK = enum.auto()

    def pick(self, *, full: int, quick: int) -> int:
        """Return the size for this effort."""
        return full if self is Effort.FULL else quick


class Loop(enum.Enum):
    """Which event loop a row runs on: the command line's own, or the guest's."""

    UVLOOP = enum.auto()
    ASYNCIO = enum.auto()


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row of the benchmark.

    Attributes:
        name: What it is called on the command line.
        title: What it is about, for the table.
        measure: Measures it.
        loop: What it runs on.
    """

    name: str
    title: str
    measure: Callable[[Effort], Awaitable[list[Figure]]]
    loop: Loop = Loop.ASYNCIO
