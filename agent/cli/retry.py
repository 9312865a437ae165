"""``weft-agent retry``: try what failed again, now."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, asked
from weft.terminal import show


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_question(commands, "retry", "try a failed share, or all of them, again now", perform)
    parser.add_argument("id", metavar="ID", nargs="?")


def perform(arguments: argparse.Namespace) -> int:
    """Say that it is being tried."""
    asked(arguments, "retry", id=arguments.id)
    show(f"trying {arguments.id or 'everything'} again; see weft-agent status")
    return 0
