"""The guest: makes the mounts that the control plane asks for true, and keeps them so."""

from agent.apply import ApplyFunc, handle_message
from agent.subscriber import Subscriber

__all__ = ["ApplyFunc", "Subscriber", "handle_message"]
