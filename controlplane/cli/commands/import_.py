"""``weft import``: make the catalog say what a file says."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from controlplane.cli.asking import ask
from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import FAILED, leave
from controlplane.cli.fanout import Manner, run_fan_out
from controlplane.cli.options import fan_out_options
from controlplane.cli.session import say, with_plane
from controlplane.cli.textfile import read_text
from controlplane.document import parse_document
from weft.terminal import show, tell

if TYPE_CHECKING:
    from controlplane.import_edits import ImportPlan
    from controlplane.plane import ControlPlane
    from controlplane.results import FanOut, OnProgress


@weft_command("import")
@click.argument("file", metavar="FILE")
@click.option("--prune", is_flag=True, help="Also remove what the file does not have.")
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@fan_out_options
def command(file: str, prune: bool, dry_run: bool, wait: bool, timeout_s: float, assume_yes: bool, output: str) -> None:
    """
    Make the catalog say what FILE says, and fan it out.

    FILE is JSON or TOML as weft export writes it; - is standard input. The plan is shown
    first: + is new, ~ changes, - goes. What FILE does not have stays, unless --prune, which
    asks. A secret written as *** stays as the catalog has it.

    \b
    Examples:
      weft import catalog.json --dry-run
      weft import catalog.json --prune --wait
    """
    document = parse_document(read_text(file), where="standard input" if file == "-" else file)
    if dry_run:
        plan = with_plane(lambda plane: plane.plan_import(document, prune=prune))
        _show(plan, is_data=True)
        return
    shown: list[ImportPlan] = []

    async def work(plane: ControlPlane, yes: bool, on_progress: OnProgress) -> FanOut:
        if not shown:
            shown.append(await plane.plan_import(document, prune=prune))
            _show(shown[0], is_data=output != "json")
            _confirm(shown[0], assume_yes)
        return await plane.import_catalog(document, prune=prune, assume_yes=yes, on_progress=on_progress)

    run_fan_out(work, Manner(f"imported {file}", output, wait, timeout_s, assume_yes))


def _show(plan: ImportPlan, *, is_data: bool) -> None:
    for warning in plan.warnings:
        tell(f"warning: {warning}")
    for line in plan.lines:
        (show if is_data else tell)(line)
    if not plan.lines:
        say("the catalog says all that already")


def _confirm(plan: ImportPlan, assume_yes: bool) -> None:
    """Have what is removed confirmed: by an answer on a terminal, by --yes elsewhere."""
    if not plan.removes or assume_yes:
        return
    if not sys.stdin.isatty():
        tell("weft: cannot remove anything unasked", "  try: the same with --yes")
        leave(FAILED)
    ask("Remove what is marked with - ?")
