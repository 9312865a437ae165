"""``weft-agent unmount``: keep shares away from this guest."""

from __future__ import annotations

import argparse

from agent.cli.question import Commands, add_question, add_timeout, asked
from weft.printable import quoted
from weft.terminal import show, tell


def add_to(commands: Commands) -> None:
    """Describe the command."""
    summary = "unmount a share, or all of them, and keep it away until resync"
    parser = add_question(commands, "unmount", summary, perform)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("id", metavar="ID", nargs="?")
    which.add_argument("--all", action="store_true", help="every share")
    parser.add_argument("--shutdown", action="store_true", help="they may return when the agent starts again")
    add_timeout(parser)


def perform(arguments: argparse.Namespace) -> int:
    """Print what was unmounted."""
    which = {"all": True} if arguments.all else {"id": arguments.id}
    answer = asked(arguments, "unmount", is_shutdown=arguments.shutdown, **which)
    until = "the agent starts again" if arguments.shutdown else "weft-agent resync"
    for share_id in answer["unmounted"]:
        show(f"{share_id}: unmounted, held until {until}")
    for remark in answer.get("remarks", {}).values():
        tell(f"weft-agent: {remark['message']}", *quoted(remark["detail"]))
    return 0
