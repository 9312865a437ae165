"""``weft-agent resync``: read the stream now, and let held shares return."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, asked
from weft.terminal import show, tell


def add_to(commands: Commands) -> None:
    """Describe the command."""
    add_question(commands, "resync", "read the stream now, retry, and let held shares return", perform)


def perform(arguments: argparse.Namespace) -> int:
    """Print what is held now; 1 where the stream could not be read."""
    answer = asked(arguments, "resync")
    for share_id in answer["returned"]:
        show(f"{share_id}: no longer held")
    show(f"revision {answer['revision']}")
    if answer.get("problem"):
        tell(f"weft-agent: {answer['problem']}")
        return 1
    return 0
