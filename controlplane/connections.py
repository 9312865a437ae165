"""The part of the control plane that keeps remotes: connections that many shares use, changed in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from controlplane.commands import Manner
from controlplane.edits import Author, Change, find_remote
from controlplane.part import Part
from controlplane.projection import Members
from controlplane.records import CatalogSnapshot, RemoteRecord
from controlplane.remote_edits import build_delete_remote, build_set_remote, build_update_remote
from controlplane.results import FanOut, OnProgress
from weft.wire.ids import RemoteName


class Connections(Part):
    """Finding and changing remotes."""

    async def remotes(self) -> dict[RemoteName, RemoteRecord]:
        """List the remotes by name; raises as ``shares``."""
        remotes = (await self._catalog.load()).remotes
        return {name: remotes[name] for name in sorted(remotes)}

    async def remote(self, name: str) -> RemoteRecord:
        """Find one remote; raises UnknownNameError where there is none, and as ``shares``."""
        return find_remote(await self._catalog.load(), name)

    async def set_remote(
        self,
        name: str,
        backend: str,
        block: Mapping[str, Any],
        *,
        description: str | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Make a remote, or replace all that one says; the shares that name it follow in one fan-out.

        Args:
            name: The remote.
            backend: ``rclone`` or ``cubefs``.
            block: The backend's block as plain values, without a path.
            description: What it is for; None for as it was.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            SubjectError, DecodeError: The name or the block breaks the contract.
            CatalogConflictError: Somebody else changed the remote meanwhile; their edit stands.
            CatalogError, BrokerError: As ``publish``.
        """
        author = self._author()

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_set_remote(snapshot, members, name, backend, block, description, author)

        return await self._edit_remote(build, author, name, Manner(dry_run, assume_yes, on_progress))

    async def update_remote(
        self,
        name: str,
        fields: Mapping[str, Any] | None = None,
        *,
        description: str | None = None,
        dry_run: bool = False,
        assume_yes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FanOut:
        """
        Change single fields of a remote, for example a rotated key; the shares that name it follow in one fan-out.

        Args:
            name: The remote.
            fields: Values by dotted name, as ``{"config.secret_access_key": "…"}``; None removes a field.
            description: What it is for; None for as it was.
            dry_run: Only say what would be done.
            assume_yes: Do not ask, even if many VMs lose something that was not named.
            on_progress: Told as messages are confirmed.

        Raises:
            UnknownNameError: There is no such remote.
            ConfigError: There is no such field.
            DecodeError, CatalogError, BrokerError: As :meth:`set_remote`.
        """
        author = self._author()
        assignments = tuple((fields or {}).items())

        def build(snapshot: CatalogSnapshot, members: Members) -> Change:
            return build_update_remote(snapshot, members, name, assignments, description, author)

        return await self._edit_remote(build, author, name, Manner(dry_run, assume_yes, on_progress))

    async def delete_remote(self, name: str) -> FanOut:
        """
        Delete a remote.

        Raises:
            UnknownNameError: There is no such remote.
            CatalogError: Shares name it.
            BrokerError: As ``publish``.
        """
        return await self._edit_remote(
            lambda snapshot, _: build_delete_remote(snapshot, name), self._author(), name, Manner()
        )

    async def _edit_remote(
        self, build: Callable[[CatalogSnapshot, Members], Change], author: Author, name: str, manner: Manner
    ) -> FanOut:
        return await self._commands.perform(build, author, manner, name=name)
