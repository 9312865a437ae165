"""What an operator asked to publish, as ShareMounts: flags over what was there before, or a JSON or TOML text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from controlplane.assign import Field, assigned
from controlplane.nearest import did_you_mean
from controlplane.plain_values import parse_values
from controlplane.source import Source
from weft.errors import ConfigError
from weft.wire.blocks import known_backends
from weft.wire.fields import field_infos
from weft.wire.ids import parse_share_id
from weft.wire.paths import find_objection
from weft.wire.share import ShareMount, parse_share

DEFAULT_ROOT = "/run/weft/shares"


@dataclass(frozen=True, slots=True)
class Changes:
    """
    What the flags say about a share; None leaves a field as it is.

    Attributes:
        assignments: Field and value of every ``--set`` and ``--secret``, in order; None removes.
    """

    source: Source | None = None
    at: str | None = None
    readonly: bool | None = None
    priority: int | None = None
    assignments: Sequence[tuple[Field, Any]] = field(default=(), repr=False)


def build_share(values: Mapping[str, Any], changes: Changes) -> ShareMount:
    """
    Build the share that *changes* make of *values*.

    Args:
        values: The share's plain values so far; at least its id.
        changes: What the flags say.

    Raises:
        DecodeError: the result breaks the contract.
        ConfigError: it would be mounted on a system directory, or asks to be unmounted.
    """
    result = dict(values)
    parse_share_id(result.get("id"))
    if changes.source is not None:
        for backend in (*known_backends(), "backend"):
            result.pop(backend, None)
        result |= {"backend": changes.source.backend, changes.source.backend: dict(changes.source.block)}
    if changes.at is not None:
        result["mount_point"] = changes.at
    if changes.readonly is not None:
        result["readonly"] = changes.readonly
    if changes.priority is not None:
        result["priority"] = changes.priority
    for target, value in changes.assignments:
        result = assigned(result, target.path, value)
    result.setdefault("mount_point", f"{DEFAULT_ROOT}/{result['id']}")
    share = parse_share(result)
    if share.is_unmount:
        raise ConfigError([f"cannot publish share {share.id!r} with action unmount: weft unpublish takes it away"])
    objection = find_objection(share.mount_point)
    if objection is not None:
        raise ConfigError([f"cannot mount share {share.id!r} at {share.mount_point}: {objection}"])
    return share


def secret_value(target: Field, text: str) -> str:
    """
    Return a secret as it stands in the spec: without the line break that ends a file, a PEM key on one line.

    Raises:
        ConfigError: the secret is empty.
    """
    value = text.strip("\r\n")
    if not value:
        raise ConfigError([f"cannot use an empty secret for {target.name}"])
    return "\\n".join(value.splitlines()) if target.path[-1] == "key_pem" else value


def parse_share_file(text: str, *, where: str) -> list[dict[str, Any]]:
    """
    Read JSON or TOML: one share, an array of shares, or an object whose ``shares`` is one.

    Raises:
        ConfigError: it is neither, or an element is no object or has no id.
    """
    content = _plain(parse_values(text, where=where))
    elements = content.get("shares", [content]) if isinstance(content, dict) else content
    if not isinstance(elements, list) or not elements:
        raise ConfigError([f"cannot use {where}: expected one share, an array of shares, or shares = an array"])
    for index, element in enumerate(elements):
        if not isinstance(element, dict):
            raise ConfigError([f"cannot use {where}: shares[{index}] is not an object"])
        if not element.get("id"):
            raise ConfigError([f"cannot use {where}: shares[{index}] has no id"])
    counts = Counter(str(element["id"]) for element in elements)
    twice = sorted(share_id for share_id, count in counts.items() if count > 1)
    if twice:
        raise ConfigError([f"cannot use {where}: id {', '.join(twice)} stands twice"])
    return elements


def unknown_fields(values: Mapping[str, Any]) -> list[str]:
    """Say for each field of a share that nobody knows that it is kept unread, and what it may have meant."""
    known = {*field_infos(ShareMount), *known_backends()}
    return [
        f"field {key!r} of share {values.get('id')!r} is unknown{did_you_mean(key, known)}; guests ignore it"
        for key in values
        if key not in known
    ]


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case datetime() | date():
            return value.isoformat()
        case _:
            return value
