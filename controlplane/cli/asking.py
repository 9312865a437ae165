"""Asking the operator, where there is one: a script is never asked, and nothing waits for it to answer."""

from __future__ import annotations

import sys

from controlplane.cli.exits import FAILED, leave
from controlplane.cli.terminal import confirm


def is_asked(question: str) -> bool:
    """Ask on a terminal and say whether the answer is yes; elsewhere False at once."""
    return sys.stdin.isatty() and confirm(question)


def ask(question: str) -> None:
    """Ask on a terminal, and leave where the answer is no; elsewhere go on."""
    if sys.stdin.isatty() and not confirm(question):
        leave(FAILED)
