"""``python -m tests.chaos``: play for some minutes, and say how to play the same again where a rule was broken."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.game import Game, RuleBroken, Tally
from tests.chaos.stage import Stage
from tests.parts.leftovers import find_leftovers, remove_leftovers
from weft.logs import configure_logs


async def play(
    directory: Path, *, seconds: float, seed: int, guests: int, storms: int | None = None, is_quiet: bool = False
) -> Tally:
    """
    Play once in *directory*, and leave nothing behind.

    Raises:
        RuleBroken: A rule does not hold; the text ends with the agents' last lines.
    """
    vms = tuple(f"vm-{number}" for number in range(guests))
    try:
        async with Stage(directory, vms) as stage:
            game = Game(stage, seed, say=lambda line: None if is_quiet else print(line, flush=True))
            try:
                await game.play(seconds=seconds, storms=storms)
            except Exception as exc:
                tails = "\n".join(f"--- {vm}\n{_tail(agent.log_path)}" for vm, agent in stage.agents.items())
                raise RuleBroken(f"{exc}\n{tails}") from exc
            return game.tally
    finally:
        if find_leftovers(directory):
            remove_leftovers(directory)


def _tail(path: Path, lines: int = 60) -> str:
    return "\n".join(path.read_text().splitlines()[-lines:])


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to play")
    parser.add_argument("--seed", type=int, default=None, help="what happens; by default another one each time")
    parser.add_argument("--guests", type=int, default=3, help="how many guests there are")
    options = parser.parse_args()
    configure_logs(level="error")
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="wch-", ignore_cleanup_errors=True) as directory:
        try:
            tally = asyncio.run(play(Path(directory), seconds=options.seconds, seed=seed, guests=options.guests))
        except RuleBroken as exc:
            print(exc, file=sys.stderr)
            again = f"python -m tests.chaos --seed {seed} --seconds {options.seconds:g} --guests {options.guests}"
            print(f"a rule was broken; play it again with: {again}", file=sys.stderr)
            return 1
    print(f"{tally.storms} storms with {tally.actions} events, the slowest rest after {tally.slowest_rest_s:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
