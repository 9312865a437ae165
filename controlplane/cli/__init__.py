"""The operator's command line: a thin layer over ``controlplane.ControlPlane``, one file per command."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

EXIT_FAILED = 1
NEEDED = ("click", "rich")


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``weft`` with *argv* (the process's own by default) and exit with its code."""
    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        from weft.distribution import install_command

        print(
            f"weft: cannot run: the operator's packages are missing\n  try: {install_command('operator')}",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILED)
    from controlplane.cli.app import run

    sys.exit(run(argv))
