"""The operator's side: what is wanted, who should have it, and who has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.rollout import Pacing
    from controlplane.roster import Roster
    from controlplane.watch import Watch

__all__ = ["ControlPlane", "Pacing", "Roster", "Watch"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: the command line starts without the NATS client."""
    if name == "ControlPlane":
        from controlplane.plane import ControlPlane

        return ControlPlane
    if name == "Pacing":
        from controlplane.rollout import Pacing

        return Pacing
    if name == "Watch":
        from controlplane.watch import Watch

        return Watch
    if name == "Roster":
        from controlplane.roster import Roster

        return Roster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
