"""What every command shares that asks a running agent: where it is, and how long to wait."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.config import DEFAULT_RUN_DIR
from agent.control_client import ask
from agent.operations import DEFAULT_WAIT_S

Commands = Any
"""What ``add_subparsers`` returns; argparse keeps its type to itself."""


def add_question(
    commands: Commands, name: str, summary: str, perform: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    """Describe a command that asks a running agent."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    default = os.environ.get("WEFT_RUN_DIR") or DEFAULT_RUN_DIR
    parser.add_argument(
        "--run-dir", type=Path, default=Path(default), metavar="D", help=f"the agent's run directory ({default})"
    )
    parser.set_defaults(perform=perform)
    return parser


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Let a command's patience be chosen."""
    parser.add_argument(
        "--timeout", type=float, default=DEFAULT_WAIT_S, metavar="S", help=f"seconds to wait ({DEFAULT_WAIT_S:g})"
    )


def asked(arguments: argparse.Namespace, do: str, **request: Any) -> dict[str, Any]:
    """Ask the agent that *arguments* point to."""
    timeout_s = getattr(arguments, "timeout", None)
    if timeout_s is not None:
        request["timeout_s"] = timeout_s
    return ask(arguments.run_dir, {"do": do, **request}, timeout_s=timeout_s or DEFAULT_WAIT_S)
