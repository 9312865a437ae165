"""How long to wait before trying again."""

from __future__ import annotations

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0


def backoff_s(attempt: int, *, jitter: float) -> float:
    """
    Return the seconds to wait after failed attempt number *attempt* (from 1).

    Doubles from one second up to a minute; the upper half is random, so that a class
    of guests does not come back to its server in step.

    Args:
        attempt: How many attempts have failed.
        jitter: Uniform in [0, 1).
    """
    longest_s = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(attempt - 1, 16))
    return longest_s * (0.5 + jitter / 2)
