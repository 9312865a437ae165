"""``weft-agent wait``: until a share is as it should be."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, add_timeout, asked
from weft.terminal import show


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_question(commands, "wait", "wait until a share is mounted, or is not to be", perform)
    parser.add_argument("id", metavar="ID")
    add_timeout(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Print where the share stands."""
    answer = asked(arguments, "wait", id=arguments.id)
    show(f"{answer['id']}: {answer['state']}")
    return 0
