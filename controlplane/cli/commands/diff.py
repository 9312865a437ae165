"""``weft diff``: where catalog, stream and guests do not agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.cli.command import command as weft_command
from controlplane.cli.exits import NOT_CONVERGED, leave
from controlplane.cli.listing import show_listing
from controlplane.cli.options import output_option, target_options
from controlplane.cli.session import say, with_plane

if TYPE_CHECKING:
    from controlplane.comparing import Comparison
    from controlplane.plane import ControlPlane


@weft_command("diff")
@target_options
@output_option()
def command(classes: tuple[str, ...], vms: tuple[str, ...], output: str) -> None:
    """
    Show where catalog, stream and guests do not agree.

    First each VM's stored list against the catalog, which weft sync repairs; then the guest
    against its list. Exits with 3 where anything differs.

    \b
    Examples:
      weft diff
      weft diff --class algebra -o json
    """

    async def work(plane: ControlPlane) -> Comparison:
        if not (classes or vms):
            return await plane.diff()
        members = [member for name in classes for member in await plane.members(name)]
        return await plane.diff([*vms, *members])

    found = with_plane(work)
    from controlplane.cli.diff_view import DIFFERENCE_COLUMNS, difference_rows, verdict_of

    rows = difference_rows(found.differences)
    if rows or output == "json":
        show_listing(DIFFERENCE_COLUMNS, rows, output)
    for line in verdict_of(found):
        say(line)
    if rows:
        leave(NOT_CONVERGED)
