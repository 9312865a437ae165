"""The part of the control plane that is about classes: who is in which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from controlplane.class_edits import (
    build_add_members,
    build_create_class,
    build_delete_class,
    build_remove_members,
    build_set_members,
)
from controlplane.commands import Manner
from controlplane.edits import Author, Change
from controlplane.part import Part
from controlplane.records import CatalogSnapshot
from controlplane.results import FanOut, OnProgress
from controlplane.roster import CatalogRoster, ask_roster
from weft.errors import RosterError
from weft.wire.ids import ClassName, VmId, parse_class_name, parse_vm_id


class Classes(Part):
    """Asking and changing who is in a class."""

    async def classes(self) -> dict[ClassName, tuple[VmId, ...]]:
        """List every class with its VMs."""
        roster = self._roster or CatalogRoster(await self._catalog.load())
        answers = await ask_roster(roster, await roster.classes())
        return {name: tuple(sorted(vms)) for name, vms in answers.items()}

    async def members(self, name: str) -> tuple[VmId, ...]:
        """List the VMs of one class; raises UnknownNameError where there is none."""
        wanted = parse_class_name(name)
        roster = self._roster or CatalogRoster(await self._catalog.load())
        return tuple(sorted((await ask_roster(roster, [wanted]))[wanted]))

    async def create_class(self, name: str) -> None:
        """Make an empty class; raises CatalogError where it exists."""
        await self._edit_class(partial(build_create_class, name=name), name, Manner())

    async def add_members(
        self, name: str, vms: Iterable[str], *, assume_yes: bool = False, on_progress: OnProgress | None = None
    ) -> FanOut:
        """
        Add VMs to a class, which gives them its shares.

        Args:
            name: The class.
            vms: Who joins; who is in it already stays.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            UnknownNameError: No such class.
            RosterError: Classes are kept elsewhere.
            CatalogError, BrokerError: As ``publish``.
        """
        joining = tuple(dict.fromkeys(parse_vm_id(vm) for vm in vms))
        build = partial(build_add_members, name=name, vms=joining)
        return await self._edit_class(build, name, Manner(False, assume_yes, on_progress), joining)

    async def remove_members(
        self, name: str, vms: Iterable[str], *, assume_yes: bool = False, on_progress: OnProgress | None = None
    ) -> FanOut:
        """Take VMs out of a class, and its shares from them; raises as :meth:`add_members`."""
        build = partial(build_remove_members, name=name, vms=tuple(vms))
        return await self._edit_class(build, name, Manner(False, assume_yes, on_progress))

    async def set_members(
        self,
        name: str,
        vms: Iterable[str],
        *,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """Make a class consist of exactly *vms*; raises as :meth:`add_members`, and ConfirmationNeededError."""
        build = partial(build_set_members, name=name, vms=tuple(vms))
        return await self._edit_class(build, name, Manner(dry_run, assume_yes, on_progress))

    async def delete_class(
        self,
        name: str,
        *,
        with_shares: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Delete a class.

        Args:
            name: The class.
            with_shares: Also when shares are for it: they stay in the catalog, without this target.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            CatalogError: Shares are for it, and *with_shares* is not given.
            UnknownNameError, RosterError: As :meth:`add_members`.
        """
        build = partial(build_delete_class, name=name, with_shares=with_shares)
        return await self._edit_class(build, name, Manner(False, assume_yes, on_progress))

    async def _edit_class(
        self,
        build: Callable[[CatalogSnapshot, Author], Change],
        name: str,
        manner: Manner,
        named: Sequence[VmId] = (),
    ) -> FanOut:
        if self._roster is not None:
            raise RosterError(f"cannot change class {name!r}: classes come from a roster elsewhere")
        author = self._author()
        return await self._commands.perform(
            lambda snapshot, _: build(snapshot, author), author, manner, name=name, named=named
        )
