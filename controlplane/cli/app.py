"""The root of ``weft``: finds commands when they are asked for, and turns errors into sentences and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence

import click

from controlplane.cli.advice import advise
from controlplane.cli.command import WeftGroup
from controlplane.cli.exits import FAILED, INTERRUPTED
from controlplane.cli.session import Session
from controlplane.nearest import did_you_mean
from weft import __version__
from weft.errors import WeftError
from weft.terminal import tell, tell_block

COMMANDS = {
    "demo": "demo",
    "up": "up",
    "init": "init",
    "publish": "publish",
    "unpublish": "unpublish",
    "wait": "wait",
    "retry": "retry",
    "refresh": "refresh",
    "list": "list",
    "info": "info",
    "update": "update",
    "enable": "enable",
    "disable": "disable",
    "history": "history",
    "rollback": "rollback",
    "remote": "remote",
    "status": "status",
    "events": "events",
    "diff": "diff",
    "sync": "sync",
    "export": "export",
    "import": "import_",
    "recover": "recover",
    "rollout": "rollout",
    "route": "route",
    "doctor": "doctor",
    "serve": "serve",
    "class": "class_",
    "vm": "vm",
    "enroll": "enroll",
    "auth": "auth",
    "completion": "completion",
}
"""Command → module of ``controlplane.cli.commands`` whose ``command`` it is, in the order of the help page."""


class LazyGroup(WeftGroup):
    """A group that imports a command only when it runs or its help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands, in their order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command called *cmd_name*, or return None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"controlplane.cli.commands.{COMMANDS[cmd_name]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that *args* begin with; an unknown one suggests the nearest."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(f"no such command {args[0]!r}{did_you_mean(args[0], COMMANDS)}", ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, "--version", message="weft %(version)s")
def cli() -> None:
    """
    Mount shares inside fleets of virtual machines, and keep them mounted.

    \b
    Examples:
      weft demo                                          everything weft does, shown here in a minute
      weft up                                            a broker and one guest on this machine
      weft class create algebra vm-1 vm-2
      weft publish docs --from myminio:docs --class algebra --wait
      weft status
    """


def run(argv: Sequence[str] | None = None, *, session: Session | None = None) -> int:
    """
    Run ``weft``.

    Args:
        argv: Arguments without the program's name; the process's own unless given.
        session: How a control plane is opened; the real way unless given.

    Returns:
        The exit code: 0 done, 1 failed, 2 usage, 3 not converged, 130 interrupted.
    """
    try:
        result = cli.main(
            args=None if argv is None else list(argv), prog_name="weft", standalone_mode=False, obj=session or Session()
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as exc:
        said = io.StringIO()
        exc.show(said)
        tell_block(said.getvalue().rstrip("\n"))
        return exc.exit_code
    except BrokenPipeError:
        # The reader of our output left, as `weft list | head` does; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except WeftError as exc:
        _tell(exc)
        return FAILED
    except BaseExceptionGroup as group:
        errors, bugs = group.split(WeftError)
        if bugs is not None or errors is None:
            raise
        for error in _leaves(errors):
            _tell(error)
        return FAILED


def _leaves(group: BaseExceptionGroup[WeftError]) -> list[WeftError]:
    found: list[WeftError] = []
    for exc in group.exceptions:
        found.extend(_leaves(exc) if isinstance(exc, BaseExceptionGroup) else [exc])
    return found


def _tell(error: WeftError) -> None:
    advice = advise(error)
    for sentence in advice.sentences:
        tell(f"weft: {sentence}")
    if advice.next_step:
        tell(f"  try: {advice.next_step}")
