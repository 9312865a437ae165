"""``weft-agent``: run the guest's agent, and ask a running one; one file per command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import weft
from agent.cli import doctor, install, resync, retry, route, run, status, try_, unmount, wait
from weft.errors import ConfigError, NotConvergedError, WeftError
from weft.printable import printable
from weft.terminal import show_block, tell, tell_block, tell_bug

COMMANDS = (run, status, route, wait, unmount, retry, resync, try_, doctor, install)
FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``weft-agent`` with *argv* (the process's own by default) and exit with its code."""
    sys.excepthook = tell_bug
    arguments = build_parser().parse_args(argv)
    try:
        code = arguments.perform(arguments)
    except ConfigError as exc:
        for problem in exc.problems:
            tell(f"weft-agent: {problem}")
        code = USAGE
    except NotConvergedError as exc:
        tell(f"weft-agent: {exc}")
        code = 3
    except WeftError as exc:
        tell(f"weft-agent: {exc}")
        code = FAILED
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again while it exits
        code = FAILED
    sys.exit(code)


class _Parser(argparse.ArgumentParser):
    """One that prints as the commands do; those of the commands are of its kind."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, whatever was typed."""
        super().error(printable(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        (show_block if file is sys.stdout else tell_block)(message.rstrip("\n"))


def build_parser() -> argparse.ArgumentParser:
    """Describe every command."""
    parser = _Parser(
        prog="weft-agent", description="Mount on this guest what the control plane asks for, and keep it mounted."
    )
    parser.add_argument("--version", action="version", version=f"weft-agent {weft.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
