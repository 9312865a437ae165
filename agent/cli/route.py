"""``weft-agent route``: which share serves a path, and why."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, asked


def add_to(commands: Commands) -> None:
    """Describe the command."""
    add_question(commands, "route", "say which share serves a path, and why", perform).add_argument("path")


def perform(arguments: argparse.Namespace) -> int:
    """Print the answer; 0 also where no share serves the path."""
    answer = asked(arguments, "route", path=arguments.path)
    if answer["winner"] is None:
        print(f"{answer['path']}: {answer['reason']}")
        return 0
    is_mounted = "" if answer["state"] == "mounted" else f"; it is not mounted, but {answer['state']}"
    print(f"{answer['path']}: share {answer['winner']}, because {answer['reason']}{is_mounted}")
    return 0
