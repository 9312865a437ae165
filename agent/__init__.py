"""The guest: makes the mounts that the control plane asks for true, and keeps them so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.apply import ApplyFunc, handle_message
from agent.subscriber import Subscriber

if TYPE_CHECKING:
    from agent.in_process import mounted, mounted_sync

__all__ = ["ApplyFunc", "Subscriber", "handle_message", "mounted", "mounted_sync"]


def __getattr__(name: str) -> Any:
    """Load what mounts only for programs that mount: a subscriber with an ApplyFunc of its own starts faster."""
    if name in ("mounted", "mounted_sync"):
        from agent import in_process

        return getattr(in_process, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
