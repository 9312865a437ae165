"""How long to wait before the next connection attempt."""

from __future__ import annotations

FIRST_BOUND_S = 0.5
SHORTEST_S = 0.02
"""Never zero: an unlucky draw must not turn the retry into a spin."""


def reconnect_delay_s(attempt: int, *, cap_s: float, jitter: float) -> float:
    """
    Draw the wait before connection attempt *attempt* with full jitter.

    When a broker restarts, every guest of a fleet loses it in the same instant; waits
    spread evenly from zero to the bound keep them from coming back in the same instant.

    Args:
        attempt: 1 is the first try after a loss; the bound doubles with each, up to *cap_s*.
        cap_s: Largest bound, in seconds.
        jitter: Uniform in [0, 1).

    Returns:
        Seconds, greater than zero.
    """
    bound_s = min(cap_s, FIRST_BOUND_S * (1 << min(max(attempt, 1) - 1, 30)))
    return max(SHORTEST_S, bound_s * jitter)
