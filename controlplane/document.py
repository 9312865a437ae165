"""The catalog as one readable file (pure): what it holds, and how what was left out of it is filled in again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from controlplane.plain_values import parse_values
from controlplane.records import CatalogSnapshot, RemoteRecord, ShareRecord
from controlplane.vm_lists import parse_vm_ids
from weft.errors import ConfigError, WeftError
from weft.wire.ids import ClassName, RemoteName, ShareId, VmId, parse_class_name, parse_remote_name, parse_share_id
from weft.wire.redact import REDACTED
from weft.wire.share import redacted_block, redacted_share, share_to_builtins
from weft.wire.tolerant import from_builtins, to_builtins

VERSION = 1
PASSING = frozenset({"rollout", "refreshes"})
"""Fields of a share's record that are about a moment, and mean nothing in another catalog."""


@dataclass(frozen=True, slots=True)
class Document:
    """
    A file's content.

    Attributes:
        shares: Records as plain values, by id.
        classes: Members by class.
        remotes: Remotes as plain values, by name.
    """

    shares: Mapping[ShareId, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[ClassName, frozenset[VmId]] = field(default_factory=dict)
    remotes: Mapping[RemoteName, Mapping[str, Any]] = field(default_factory=dict)


def build_document(snapshot: CatalogSnapshot, *, show_secrets: bool) -> dict[str, Any]:
    """
    Write the catalog as plain values.

    Args:
        snapshot: The catalog.
        show_secrets: Whether secrets stand in it; otherwise ``***`` stands for each.
    """
    return {
        "weft": VERSION,
        "catalog": {"id": snapshot.id, "seq": snapshot.seq},
        "remotes": {name: _remote(record, show_secrets) for name, record in sorted(snapshot.remotes.items())},
        "classes": {name: sorted(members) for name, members in sorted(snapshot.members.items())},
        "shares": [_record(record, show_secrets) for _, record in sorted(snapshot.shares.items())],
    }


def _remote(record: RemoteRecord, show_secrets: bool) -> dict[str, Any]:
    values = json.loads(json.dumps(to_builtins(record), default=_text))
    return values if show_secrets else {**values, "block": redacted_block(record.backend, values.get("block", {}))}


def _record(record: ShareRecord, show_secrets: bool) -> dict[str, Any]:
    share = share_to_builtins(record.share) if show_secrets else redacted_share(record.share)
    values = {key: value for key, value in to_builtins(record).items() if key not in PASSING}
    plain: dict[str, Any] = json.loads(json.dumps({**values, "share": share}, default=_text))
    return plain


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def parse_document(text: str, *, where: str) -> Document:
    """
    Read a file's text, JSON or TOML.

    Raises:
        ConfigError: Every part that cannot be used.
    """
    content = parse_values(text, where=where)
    if not isinstance(content, dict) or content.get("weft") != VERSION:
        raise ConfigError([f"cannot use {where}: it is no catalog as 'weft export' writes it (no 'weft': {VERSION})"])
    problems: list[str] = []
    shares: dict[ShareId, Mapping[str, Any]] = {}
    for index, values in enumerate(_of(list, content, "shares", problems)):
        try:
            share_id = parse_share_id(values["share"]["id"])
        except (KeyError, TypeError, WeftError) as exc:
            problems.append(f"cannot use shares[{index}] of {where}: {exc if isinstance(exc, WeftError) else 'no id'}")
            continue
        if share_id in shares:
            problems.append(f"cannot use shares[{index}] of {where}: id {share_id!r} stands twice")
        shares[share_id] = values
    classes: dict[ClassName, frozenset[VmId]] = {}
    for name, members in _of(dict, content, "classes", problems).items():
        try:
            ids = parse_vm_ids("\n".join([members] if isinstance(members, str) else members), where=where)
            classes[parse_class_name(name)] = frozenset(ids)
        except (TypeError, WeftError) as exc:
            problems.append(f"cannot use class {name!r} of {where}: {exc}")
    remotes: dict[RemoteName, Mapping[str, Any]] = {}
    for name, values in _of(dict, content, "remotes", problems).items():
        try:
            remotes[parse_remote_name(name)] = values
        except WeftError as exc:
            problems.append(f"cannot use remote {name!r} of {where}: {exc}")
    if problems:
        raise ConfigError(problems)
    return Document(shares, classes, remotes)


def _of(kind: type, content: Mapping[str, Any], key: str, problems: list[str]) -> Any:
    value = content.get(key, kind())
    if isinstance(value, kind):
        return value
    problems.append(f"cannot use {key}: expected {'an array' if kind is list else 'a table'}")
    return kind()


def share_record(values: Mapping[str, Any], before: ShareRecord | None) -> ShareRecord:
    """
    Build the record that *values* of a file stand for; ``***`` stands for what the catalog has there.

    Raises:
        ConfigError: The catalog has nothing there.
        DecodeError: The result breaks the contract.
    """
    kept = {**to_builtins(before), "share": share_to_builtins(before.share)} if before is not None else {}
    share_id = values["share"]["id"]
    filled = _filled(values, kept, f"share {share_id!r}", "")
    return from_builtins(ShareRecord, {**filled, **_passing(kept)}, what=f"share {share_id!r}")


def _passing(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {key: kept[key] for key in PASSING & kept.keys()}


def remote_record(name: str, values: Mapping[str, Any], before: RemoteRecord | None) -> RemoteRecord:
    """Build the remote that *values* of a file stand for; raises as :func:`share_record`."""
    kept = to_builtins(before) if before is not None else {}
    return from_builtins(RemoteRecord, _filled(values, kept, f"remote {name!r}", ""), what=f"remote {name!r}")


def _filled(value: Any, kept: Any, what: str, path: str) -> Any:
    match value:
        case Mapping():
            below = kept if isinstance(kept, Mapping) else {}
            return {
                key: _filled(item, below.get(key), what, f"{path}.{key}".lstrip(".")) for key, item in value.items()
            }
        case str() if REDACTED in value:
            if kept in (None, ""):
                raise ConfigError(
                    [
                        f"cannot import {what}: its {path} is left out of the file, and the catalog has none"
                        " (export with --show-secrets)"
                    ]
                )
            return kept
        case _:
            return value
