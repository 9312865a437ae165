"""From the arguments of ``weft publish`` to its shares: reads the files, secrets and catalog entries they name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.assign import Field, SecretSource, parse_secret, parse_set
from controlplane.cli.textfile import read_text
from controlplane.rclone_conf import rclone_conf
from controlplane.requested import Changes, build_share, parse_share_file, secret_value, unknown_fields
from controlplane.source import Source, parse_source
from weft.errors import ConfigError
from weft.wire.ids import parse_share_id
from weft.wire.share import ShareMount, share_to_builtins

if TYPE_CHECKING:
    from controlplane.plane import ControlPlane


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    The arguments that say what to publish.

    Attributes:
        name: The share's id, or a file of shares: an id holds neither ``.`` nor ``/``.
        file: A file of shares, from ``-f``.
        source: ``--from``.
        at: ``--at``.
        readonly: ``--readonly`` or ``--writable``.
        priority: ``--priority``.
        sets: Every ``--set``.
        secrets: Every ``--secret``.
    """

    name: str | None
    file: str | None
    source: str | None
    at: str | None
    readonly: bool | None
    priority: int | None
    sets: Sequence[str]
    secrets: Sequence[str]

    @property
    def path(self) -> str | None:
        """The file of shares, where there is one."""
        is_file = self.name is not None and (self.name == "-" or "." in self.name or "/" in self.name)
        return self.file or (self.name if is_file else None)


@dataclass(frozen=True, slots=True)
class Prepared:
    """
    What could be read before the broker is asked.

    Attributes:
        bases: Plain values of each share so far; a share that the catalog must complete has only its id.
        changes: What the flags say.
        warnings: What the operator should know.
        needs_catalog: Whether the share must come from the catalog.
    """

    bases: Sequence[Mapping[str, Any]]
    changes: Changes
    warnings: Sequence[str]
    needs_catalog: bool

    async def shares(self, plane: ControlPlane) -> list[ShareMount]:
        """Build the shares, over what the catalog has where no source was named."""
        if not self.needs_catalog:
            return self.shares_without_catalog()
        record = await plane.share(self.bases[0]["id"])
        return [build_share(share_to_builtins(record.share), self.changes)]

    def shares_without_catalog(self) -> list[ShareMount]:
        """Build the shares from the arguments alone."""
        return [build_share(base, self.changes) for base in self.bases]


def prepare(wanted: Wanted) -> Prepared:
    """
    Read everything the arguments name.

    Raises:
        ConfigError: an argument, a file or a secret cannot be used.
        SubjectError: the id is not one subject token.
    """
    if wanted.name is None and wanted.file is None:
        raise ConfigError(["cannot publish nothing: name a share and --from SRC, or a file of shares"])
    path = wanted.path
    assignments = _assignments(wanted, stdin_is_taken=path == "-")
    source = parse_source(wanted.source, rclone_conf(os.environ, Path.home())) if wanted.source else None
    changes = Changes(source, wanted.at, wanted.readonly, wanted.priority, assignments)
    if path is None:
        share_id = parse_share_id(wanted.name)
        defines = source is not None or any(field.name == "backend" for field, _ in assignments)
        prepared = Prepared([{"id": share_id}], changes, _warnings(source, []), needs_catalog=not defines)
    else:
        bases = _bases(wanted, path)
        if len(bases) > 1 and (wanted.at or source):
            raise ConfigError([f"cannot use --at or --from with {path}: it holds {len(bases)} shares"])
        prepared = Prepared(bases, changes, _warnings(source, bases), needs_catalog=False)
    if not prepared.needs_catalog:
        prepared.shares_without_catalog()
    return prepared


def _bases(wanted: Wanted, path: str) -> list[dict[str, Any]]:
    if wanted.file is not None and wanted.name is not None:
        raise ConfigError([f"cannot publish both {wanted.name!r} and the shares of {path}"])
    return parse_share_file(read_text(path), where="standard input" if path == "-" else path)


def _warnings(source: Source | None, bases: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        *(source.warnings if source is not None else ()),
        *(text for base in bases for text in unknown_fields(base)),
    ]


def _assignments(wanted: Wanted, *, stdin_is_taken: bool) -> list[tuple[Field, Any]]:
    sources = [parse_secret(text) for text in wanted.secrets]
    if sum(source.kind == "stdin" for source in sources) + stdin_is_taken > 1:
        raise ConfigError(["cannot read standard input twice: give one of them as a file"])
    return [*(parse_set(text) for text in wanted.sets), *((source.field, _read_secret(source)) for source in sources)]


def _read_secret(source: SecretSource) -> str:
    match source.kind:
        case "credential":
            return f"credential:{source.name}"
        case "env":
            if source.name not in os.environ:
                raise ConfigError([f"cannot use env:{source.name} for {source.field.name}: it is not set"])
            return secret_value(source.field, os.environ[source.name])
        case _:
            return secret_value(source.field, read_text(source.name))
