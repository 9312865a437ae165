"""The operator's command line: a thin layer over ``controlplane.ControlPlane``, one file per command."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from weft.terminal import tell, tell_bug

EXIT_FAILED = 1
NEEDED = ("click", "rich")


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``weft`` with *argv* (the process's own by default) and exit with its code."""
    sys.excepthook = tell_bug
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        from weft.distribution import install_command

        tell("weft: cannot run: the operator's packages are missing", f"  try: {install_command('operator')}")
        sys.exit(EXIT_FAILED)
    from controlplane.cli.app import run

    sys.exit(run(argv))
