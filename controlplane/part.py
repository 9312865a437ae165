"""What every part of the control plane works with: one connection, the catalog over it, and who the operator is."""

from __future__ import annotations

from datetime import UTC, datetime

from controlplane.catalog import Catalog
from controlplane.commands import Commands
from controlplane.edits import Author
from controlplane.publisher import Publisher
from controlplane.roster import Roster
from weft.link import Link


class Part:
    """
    Base of the parts that make up the control plane.

    Args:
        link: Connected on use.
        catalog: The catalog.
        publisher: Knows who is in which class.
        commands: What performs changes.
        roster: Where classes come from, None for the catalog.
        operator: Who is noted as the author of changes.
    """

    def __init__(
        self,
        link: Link,
        catalog: Catalog,
        publisher: Publisher,
        commands: Commands,
        roster: Roster | None,
        operator: str,
    ) -> None:
        self._link = link
        self._catalog = catalog
        self._publisher = publisher
        self._commands = commands
        self._roster = roster
        self._operator = operator

    def _author(self) -> Author:
        return Author(self._operator, datetime.now(UTC))
