"""A fleet for one test: guests cloned from the template, each with an address and a name of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from tests.guest.network import guest_address
from tests.guest.nspawn import Guest
from tests.guest.template import CONFIG, agent_config

RUN = "WEFT_GUEST_RUN"
"""Environment variable with the name of the run, unique on this machine: the cgroups' names begin with it."""


class Fleet:
    """
    Makes guests, and tears down all of them.

    Args:
        layers: What they are cloned from, the uppermost first.
        directory: Where their own files go.
        numbers: Gives each guest of the run its number.
    """

    def __init__(self, *, layers: Sequence[Path], directory: Path, numbers: Iterator[int]) -> None:
        self.guests: list[Guest] = []
        self._layers = layers
        self._directory = directory
        self._numbers = numbers
        self._closing = AsyncExitStack()

    async def add(
        self, name: str, *, layers: Sequence[Path] | None = None, shown: dict[str, Path] | None = None
    ) -> Guest:
        """Add a machine that is off."""
        number = next(self._numbers)
        guest = Guest(
            name,
            layers=self._layers if layers is None else layers,
            directory=self._directory / name,
            address=guest_address(number),
            cgroup=f"{os.environ[RUN]}-{number}",
            shown=shown,
        )
        await self._closing.enter_async_context(guest)
        self.guests.append(guest)
        return guest

    async def add_member(
        self, name: str, broker_url: str, *, vm: str = "", layers: Sequence[Path] | None = None
    ) -> Guest:
        """Add a machine, off, whose agent is called *vm* (its *name* unless given) and knows the broker."""
        guest = await self.add(name, layers=layers)
        guest.write(CONFIG, agent_config(vm or name, broker_url))
        return guest

    async def close(self) -> None:
        """Take the power from all of them, and remove what was made for them; their files stay."""
        await self._closing.aclose()
