"""From the arguments of ``weft publish`` to its shares: reads the files, secrets and catalog entries they name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controlplane.assign import Field, SecretSource, parse_secret, parse_set
from controlplane.cli.named_source import NamedSource, parse_named
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
        remote_of: ``--remote-of``: where the name in ``--from`` is defined.
    """

    name: str | None
    file: str | None
    source: str | None
    at: str | None
    readonly: bool | None
    priority: int | None
    sets: Sequence[str]
    secrets: Sequence[str]
    remote_of: str | None = None

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
        named: The source, where only the catalog can tell what its name means.
    """

    bases: Sequence[Mapping[str, Any]]
    changes: Changes
    warnings: Sequence[str]
    needs_catalog: bool
    named: NamedSource | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the shares can be built without the catalog."""
        return not self.needs_catalog and self.named is None

    async def shares(self, plane: ControlPlane) -> Found:
        """Build the shares, over what the catalog has where no source was named, or a remote of it."""
        if self.named is not None:
            chosen = self.named.choose(await plane.remotes())
            changes = replace(self.changes, source=chosen.source)
            warnings = chosen.source.warnings
            return Found([build_share(base, changes) for base in self.bases], chosen.remote, chosen.told, warnings)
        if not self.needs_catalog:
            return Found(self.shares_without_catalog())
        record = await plane.share(self.bases[0]["id"])
        return Found([build_share(share_to_builtins(record.share), self.changes)], record.remote)

    def shares_without_catalog(self) -> list[ShareMount]:
        """Build the shares from the arguments and rclone.conf alone."""
        changes = self.changes if self.named is None else replace(self.changes, source=self.named.choose({}).source)
        return [build_share(base, changes) for base in self.bases]


@dataclass(frozen=True, slots=True)
class Found:
    """Shares to publish, the catalog's remote that completes them, and what to say and to warn about."""

    shares: list[ShareMount]
    remote: str = ""
    told: str = ""
    warnings: Sequence[str] = ()


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
    assignments = read_assignments(wanted.sets, wanted.secrets, stdin_is_taken=path == "-")
    conf = rclone_conf(os.environ, Path.home())
    named = parse_named(wanted.source, conf, wanted.remote_of) if wanted.source else None
    source = parse_source(wanted.source, conf) if wanted.source and named is None else None
    changes = Changes(source, wanted.at, wanted.readonly, wanted.priority, assignments)
    if path is None:
        share_id = parse_share_id(wanted.name)
        defines = source is not None or named is not None or any(field.name == "backend" for field, _ in assignments)
        prepared = Prepared([{"id": share_id}], changes, _warnings(source, []), not defines, named)
    else:
        bases = _bases(wanted, path)
        if len(bases) > 1 and (wanted.at or wanted.source):
            raise ConfigError([f"cannot use --at or --from with {path}: it holds {len(bases)} shares"])
        prepared = Prepared(bases, changes, _warnings(source, bases), needs_catalog=False, named=named)
    if prepared.is_complete:
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


def read_assignments(
    sets: Sequence[str], secrets: Sequence[str], *, stdin_is_taken: bool = False, backend: str = ""
) -> list[tuple[Field, Any]]:
    """
    Read every ``--set`` and ``--secret``; the secrets from where they are.

    Args:
        sets: Every ``--set``.
        secrets: Every ``--secret``.
        stdin_is_taken: Whether something else is read from standard input.
        backend: The backend whose fields they are, which may be left out in front of them.

    Raises:
        ConfigError: one cannot be used or read.
    """
    if backend:
        sets, secrets = ([_below(backend, text) for text in texts] for texts in (sets, secrets))
    sources = [parse_secret(text) for text in secrets]
    if sum(source.kind == "stdin" for source in sources) + stdin_is_taken > 1:
        raise ConfigError(["cannot read standard input twice: give one of them as a file"])
    return [*(parse_set(text) for text in sets), *((source.field, _read_secret(source)) for source in sources)]


def _below(backend: str, text: str) -> str:
    return text if text.startswith(f"{backend}.") else f"{backend}.{text}"


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
