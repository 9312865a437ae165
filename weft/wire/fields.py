"""How a wire field is declared: its description, how a change to it is applied, whether it is secret. Once."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec


class Change(enum.StrEnum):
    """What a guest must do when the field differs from what is mounted."""

    LIVE = "live"
    REMOUNT = "remount"
    NONE = "none"


class Secrecy(enum.StrEnum):
    """What of a field may be shown: all of it, nothing, or (for a map) only the values of keys known to be harmless."""

    PUBLIC = "public"
    SECRET = "secret"
    SECRET_VALUES = "secret_values"


class FieldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One field's declaration, as tools read it."""

    name: str
    description: str
    change: Change
    secrecy: Secrecy


def declare(
    description: str, *, change: Change = Change.REMOUNT, secrecy: Secrecy = Secrecy.PUBLIC, **constraints: Any
) -> msgspec.Meta:
    """
    Build the annotation that declares a field.

    Args:
        description: One sentence; ends up in help texts, the JSON schema and the reference page.
        change: What a guest does when it differs.
        secrecy: What of it may be shown.
        constraints: ``ge``, ``le``, ``pattern`` … as msgspec takes them.
    """
    return msgspec.Meta(description=description, extra={"change": change, "secrecy": secrecy}, **constraints)


_CACHE: dict[type, dict[str, FieldInfo]] = {}


def field_infos(struct: type[msgspec.Struct]) -> dict[str, FieldInfo]:
    """Read the declarations of *struct*, in order, by wire name; undeclared fields are left out."""
    if struct not in _CACHE:
        hints = get_type_hints(struct, include_extras=True)
        _CACHE[struct] = {
            info.name: info
            for field in msgspec.structs.fields(struct)
            for info in _infos(field.encode_name, hints[field.name])
        }
    return _CACHE[struct]


def _infos(name: str, hint: Any) -> Iterator[FieldInfo]:
    if get_origin(hint) is not Annotated:
        return
    for meta in get_args(hint)[1:]:
        if isinstance(meta, msgspec.Meta) and meta.extra is not None and "change" in meta.extra:
            yield FieldInfo(
                name=name,
                description=meta.description or "",
                change=meta.extra["change"],
                secrecy=meta.extra["secrecy"],
            )
