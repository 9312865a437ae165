"""``weft-agent unmount``: keep shares away from this guest."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, add_timeout, asked


def add_to(commands: Commands) -> None:
    """Describe the command."""
    summary = "unmount a share and keep it away until resync; --all only until the agent restarts"
    parser = add_question(commands, "unmount", summary, perform)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?")
    which.add_argument("--all", action="store_true", help="every share, for a shutdown")
    add_timeout(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Print what was unmounted."""
    answer = asked(arguments, "unmount", all=True) if arguments.all else asked(arguments, "unmount", id=arguments.id)
    for share_id in answer["unmounted"]:
        print(f"{share_id}: unmounted, held until weft-agent resync")
    return 0
