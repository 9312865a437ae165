"""``weft doctor``: look the operator's side over and say, line by line, what to do."""

from __future__ import annotations

from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import FAILED, leave
from controlplane.cli.listing import show_listing
from controlplane.cli.options import output_option
from controlplane.cli.session import with_plane


@weft_command("doctor")
@output_option()
def command(output: str) -> None:
    """
    Look over broker, streams, clock and guests.

    Each line says what was found and what to do. Exits with 1 where something must be done;
    weft-agent doctor does the same in a guest.

    \b
    Examples:
      weft doctor
      weft doctor -o json
    """
    findings = with_plane(lambda plane: plane.check_up())
    from controlplane.cli.output import Column, Row
    from weft.finding import Verdict

    columns = (Column("CHECK"), Column("RESULT"), Column("FOUND"), Column("DO"))
    rows = [
        Row(
            name=found.check,
            cells=(found.check, found.verdict, found.message, found.advice or "-"),
            record={"check": found.check, "verdict": found.verdict, "message": found.message, "advice": found.advice},
        )
        for found in findings
    ]
    show_listing(columns, rows, output)
    if any(found.verdict is Verdict.BAD for found in findings):
        leave(FAILED)
