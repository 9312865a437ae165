"""Rosters: who is in a class, from the catalog or from wherever the caller keeps it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from controlplane.records import CatalogSnapshot
from weft.errors import RosterError, SubjectError, UnknownNameError, WeftError
from weft.wire.ids import ClassName, VmId, parse_vm_id


class Roster(Protocol):
    """
    Class → VM ids.

    An unknown class, and a source that cannot be reached, are exceptions. An empty answer counts as a failure too: a
    class that ends is ended by unpublishing, not by a list that came back empty.
    """

    async def classes(self) -> Collection[str]:
        """Name every class."""
        ...

    async def members(self, name: str) -> Collection[str]:
        """
        List the VMs of class *name*.

        Raises:
            UnknownNameError: There is no such class.
        """
        ...


class CatalogRoster:
    """
    The classes of one catalog snapshot.

    Args:
        snapshot: What was read.
    """

    def __init__(self, snapshot: CatalogSnapshot) -> None:
        self._members = snapshot.members

    async def classes(self) -> Collection[str]:
        """Name every class of the catalog."""
        return tuple(self._members)

    async def members(self, name: str) -> Collection[str]:
        """List the VMs of class *name*; raises UnknownNameError where there is none."""
        found = self._members.get(ClassName(name))
        if found is None:
            raise unknown("class", name, self._members)
        return found


class AskedOnce:
    """
    A roster whose first answer about a class stands, however often it is asked.

    Args:
        roster: Where the answers come from.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._answers: dict[str, Collection[str]] = {}

    async def classes(self) -> Collection[str]:
        """Name every class."""
        return await self._roster.classes()

    async def members(self, name: str) -> Collection[str]:
        """List the VMs of class *name*; raises as the roster does."""
        if name not in self._answers:
            self._answers[name] = tuple(await self._roster.members(name))
        return self._answers[name]


async def ask_roster(roster: Roster, names: Iterable[str]) -> Mapping[ClassName, frozenset[VmId]]:
    """
    Ask *roster* for the members of each class in *names*.

    Raises:
        UnknownNameError: It has no such class.
        RosterError: It failed, named something that is no VM id, or, other than the catalog, named nobody.
    """
    answers: dict[ClassName, frozenset[VmId]] = {}
    for name in sorted(set(names)):
        try:
            answers[ClassName(name)] = frozenset(parse_vm_id(vm) for vm in await roster.members(name))
        except SubjectError as exc:
            raise RosterError(f"cannot use the roster's answer for class {name!r}: {exc}") from exc
        except WeftError:
            raise
        except Exception as exc:  # the caller's own code may raise anything, and none of it means "empty"
            raise RosterError(f"cannot get the members of class {name!r}: {type(exc).__name__}: {exc}") from exc
        if not answers[ClassName(name)] and not isinstance(roster, CatalogRoster):
            raise RosterError(
                f"cannot take class {name!r} for empty: its roster named nobody"
                f" (to end it, weft unpublish ID --class {name})"
            )
    return answers


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a *name* that is not among *known*, with those that look like it."""
    return UnknownNameError(what, name, difflib.get_close_matches(name, list(known), n=3, cutoff=0.6))
