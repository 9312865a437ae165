"""Options for when shares come and go, waves and expiry, and an operator's wait from wave to wave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from controlplane.cli.exits import NOT_CONVERGED, leave
from controlplane.cli.options import Duration
from controlplane.cli.rollout_view import next_command, progress_line, rollout_lines
from controlplane.cli.session import say, with_plane
from weft.terminal import show

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane
    from controlplane.rollout import Pacing
    from controlplane.rollout_standing import RolloutStanding

F = TypeVar("F", bound=Callable[..., Any])


def pacing_options(function: F) -> F:
    """Add ``--wave``, ``--canary``, ``--max-failed``, ``--patience`` and ``--expires``."""
    for option in (
        click.option("--expires", metavar="WHEN", help="Unmount it after 2h, at a time, or never; offline too."),
        click.option(
            "--patience", "patience_s", type=Duration(), metavar="TIME",
            help="After which a VM that reports but has not got there counts as failed [60s].",
        ),
        click.option("--max-failed", type=click.IntRange(0), metavar="N", help="More failed VMs stop it [0]."),
        click.option("--canary", type=click.IntRange(0), metavar="N", help="VMs before the first wave; none may fail."),
        click.option("--wave", "waves", multiple=True, metavar="PERCENT", help="Part that gets it first; repeatable."),
    ):  # fmt: skip
        function = option(function)
    return function


def pacing_of(options: Mapping[str, Any]) -> Pacing | None:
    """Read in which waves to go; None for everybody at once."""
    from controlplane.rollout import DEFAULT_PATIENCE_S, Pacing, parse_wave

    if not options["waves"] and not options["canary"]:
        if options["max_failed"] is not None or options["patience_s"] is not None:
            raise click.UsageError(
                "--max-failed and --patience need --wave or --canary", ctx=click.get_current_context()
            )
        return None
    return Pacing(
        waves=tuple(parse_wave(text) for text in options["waves"]),
        canary=options["canary"] or 0,
        max_failed=options["max_failed"] or 0,
        patience_s=DEFAULT_PATIENCE_S if options["patience_s"] is None else options["patience_s"],
    )


def expiry_sets(text: str | None) -> tuple[str, ...]:
    """Turn ``--expires`` into what ``--set`` would say."""
    if text is None:
        return ()
    from controlplane.expiry import parse_expiry

    at = parse_expiry(text, datetime.now().astimezone())
    return (f"expires_at={at.isoformat().replace('+00:00', 'Z') if at is not None else ''}",)


def explicit_timeout_s(timeout_s: float) -> float | None:
    """Return *timeout_s* where the operator gave it; a rollout has a clock of its own, so there is no default."""
    source = click.get_current_context().get_parameter_source("timeout_s")
    return None if source is ParameterSource.DEFAULT else timeout_s


def follow_rollouts(share_ids: Sequence[str], *, timeout_s: float | None) -> None:
    """Take rollouts from wave to wave, telling how they go; leave with 3 where one does not get to its end."""

    async def follow(plane: ControlPlane) -> list[RolloutStanding]:
        try:
            async with asyncio.timeout(timeout_s):
                return [await plane.drive_rollout(share_id, on_standing=_show) for share_id in share_ids]
        except TimeoutError:
            return [await plane.rollout(share_id) for share_id in share_ids]

    standings = with_plane(follow)
    for standing in standings:
        for line in rollout_lines(standing, now=datetime.now(UTC))[1:]:
            show(line)
        if standing.rollout.is_open:
            say(f"  try: {next_command(standing)}")
    if any(standing.rollout.is_open for standing in standings):
        leave(NOT_CONVERGED)


def tell_rollouts(share_ids: Sequence[str]) -> None:
    """Say where rollouts stand that nobody waits for, and how they go on."""

    async def look(plane: ControlPlane) -> list[RolloutStanding]:
        return [await plane.rollout(share_id) for share_id in share_ids]

    for standing in with_plane(look):
        say(progress_line(standing))
        if step := next_command(standing):
            say(f"  try: {step}")


def _show(standing: RolloutStanding) -> None:
    say(progress_line(standing))
