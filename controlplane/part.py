"""What every part of the control plane works with: one connection, the catalog over it, and who the operator is."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

from controlplane.authorship import build_author
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
        operator: On whose behalf changes are made, beside the user who is connected; empty for nobody else's.
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
        user = self._link.user
        said = self._operator or ("" if user is not None else _this_user())
        return build_author(user, said, datetime.now(UTC))


def _this_user() -> str:
    """Name the user of this process, which is only what the shell says."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
