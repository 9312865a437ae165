"""``weft-agent route``: which share serves a path, and why."""

from __future__ import annotations

import argparse
import json

import msgspec

from agent.cli.question import Commands, add_question, asked
from weft.terminal import show, show_json
from weft.wire.answer import RouteAnswer, describe


def add_to(commands: Commands) -> None:
    """Describe the command."""
    parser = add_question(commands, "route", "say which share serves a path, and why", perform)
    parser.add_argument("path")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (text)")


def perform(arguments: argparse.Namespace) -> int:
    """Print the answer; 0 also where no share serves the path."""
    answer = msgspec.convert(asked(arguments, "route", path=arguments.path), RouteAnswer)
    if arguments.output == "json":
        show_json(json.dumps(msgspec.to_builtins(answer), indent=2))
    else:
        show(*describe(answer))
    return 0
