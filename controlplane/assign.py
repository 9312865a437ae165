"""``--set field=value`` and ``--secret field=…``: texts turned into typed values through the fields' declarations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from controlplane.nearest import did_you_mean
from weft.errors import ConfigError
from weft.wire.blocks import block_type
from weft.wire.fields import Secrecy, field_infos
from weft.wire.redact import CREDENTIAL_PREFIX, HARMLESS_OPTIONS
from weft.wire.references import is_secret_place
from weft.wire.share import ShareMount

_SECRET_NAME = re.compile(
    r"pass|secret|token|credential|private|mnemonic|cookie|authorization|headers|sas_url|connection_string|master_key"
    r"|(^|_)key(_pem|_base64)?\Z",
    re.IGNORECASE,
)
_WHY_NO_LITERAL = "a secret in a command line stands in the shell's history and the process list"
_FIXED = {"id": "it is the first argument", "action": "weft unpublish takes a share away"}


@dataclass(frozen=True, slots=True)
class Field:
    """
    A settable field.

    Attributes:
        path: Where its value stands in a share's plain values.
        hint: The type it must have.
        secrecy: What of it may be shown.
    """

    path: tuple[str, ...]
    hint: Any
    secrecy: Secrecy

    @property
    def name(self) -> str:
        """The dotted name."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret's text comes from: ``file``, ``stdin``, ``env`` or ``credential``, and which one."""

    field: Field
    kind: str
    name: str


def looks_secret(option: str) -> bool:
    """Guess from the name of a free option whether its value is a secret."""
    return option not in HARMLESS_OPTIONS and _SECRET_NAME.search(option) is not None


def parse_set(text: str) -> tuple[Field, Any]:
    """
    Read one ``--set`` text.

    Returns:
        The field and its typed value; None removes the field (the text ends after ``=``).

    Raises:
        ConfigError: no such field, a value of another type, or a secret, which has no place in a command line.
    """
    name, equals, raw = text.partition("=")
    if not equals:
        raise ConfigError([f"cannot use --set {name!r}: expected field=value"])
    field = find_field(name)
    is_secret = field.secrecy is Secrecy.SECRET or (
        field.secrecy is Secrecy.SECRET_VALUES and looks_secret(field.path[-1])
    )
    if is_secret and raw and not raw.startswith(CREDENTIAL_PREFIX):
        raise ConfigError(
            [f"cannot use --set for {name}: {_WHY_NO_LITERAL}; use --secret {name}=@FILE, @-, env:N or credential:N"]
        )
    return field, _typed(field, raw) if raw else None


def parse_secret(text: str) -> SecretSource:
    """
    Read one ``--secret`` text, which says where the secret is, never what it is.

    Raises:
        ConfigError: no such field, not a secret one, or a literal; the literal is not repeated.
    """
    name, equals, raw = text.partition("=")
    if not equals:
        raise ConfigError(
            ["cannot use --secret: expected field=@FILE, field=@-, field=env:NAME or field=credential:NAME"]
        )
    field = find_field(name)
    if field.secrecy is Secrecy.PUBLIC:
        raise ConfigError([f"cannot use --secret for {name}: it is not secret; use --set"])
    if raw == "@-":
        return SecretSource(field, "stdin", "-")
    if raw.startswith("@") and len(raw) > 1:
        return SecretSource(field, "file", raw[1:])
    kind, colon, rest = raw.partition(":")
    if colon and rest and kind == "env":
        return SecretSource(field, kind, rest)
    if colon and rest and kind == "credential":
        if not rest.startswith("share."):
            raise ConfigError(
                [f"cannot use credential {rest!r} for {name}: guests resolve only credentials named share.*"]
            )
        if not is_secret_place(field.path[1:], field.secrecy):
            raise ConfigError(
                [f"cannot use a credential for {name}: guests resolve one only where nothing but a secret stands"]
            )
        return SecretSource(field, kind, rest)
    raise ConfigError(
        [f"cannot use --secret {name}=…: {_WHY_NO_LITERAL}; give @FILE, @- (stdin), env:N or credential:N"]
    )


def find_field(name: str) -> Field:
    """
    Find the declared field with the dotted *name*.

    Raises:
        ConfigError: there is none, or it is not one value.
    """
    if name in _FIXED:
        raise ConfigError([f"cannot set {name}: {_FIXED[name]}"])
    parts = name.split(".")
    struct: type[msgspec.Struct] = ShareMount
    for depth, part in enumerate(parts):
        hints = _hints(struct)
        if part not in hints:
            inner = block_type(part) if depth == 0 else None
            if inner is None:
                raise ConfigError([f"cannot set {name}: there is no such field{did_you_mean(name, field_names())}"])
            struct = inner
            continue
        hint = hints[part]
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            struct = hint
            continue
        return _leaf(name, tuple(parts[: depth + 1]), tuple(parts[depth + 1 :]), hint, _secrecy(struct, part))
    raise ConfigError(
        [f"cannot set {name}: name one of its fields: {', '.join(f'{name}.{key}' for key in _hints(struct))}"]
    )


def _leaf(name: str, path: tuple[str, ...], keys: tuple[str, ...], hint: Any, secrecy: Secrecy) -> Field:
    levels = _map_levels(hint)
    if not levels and keys:
        raise ConfigError([f"cannot set {name}: {'.'.join(path)} has no fields"])
    if levels and (len(keys) < levels or not all(keys)):
        raise ConfigError([f"cannot set {name}: name the entry, as in {'.'.join(path)}{'.NAME' * levels}=value"])
    if levels:
        keys = (*keys[: levels - 1], ".".join(keys[levels - 1 :]))
    return Field((*path, *keys), str if levels else hint, secrecy)


def field_names() -> tuple[str, ...]:
    """Name every settable field, a map's entries as ``map.NAME``."""
    return tuple(_names(ShareMount, ""))


def _names(struct: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    for key, hint in _hints(struct).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from _names(hint, f"{prefix}{key}.")
        elif prefix or key not in _FIXED:
            yield f"{prefix}{key}" + ".NAME" * _map_levels(hint)


def assigned(values: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return *values* with *value* at *path*; None removes what stands there."""
    head, *rest = path
    result = dict(values)
    if rest:
        result[head] = assigned(result.get(head) or {}, tuple(rest), value)
    elif value is None:
        result.pop(head, None)
    else:
        result[head] = value
    return result


def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Map each declared wire name of *struct* to its type, with None and (for structs) annotations stripped."""
    hints = get_type_hints(struct, include_extras=True)
    names = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    declared = field_infos(struct)
    return {names[name]: _unwrapped(hint) for name, hint in hints.items() if name in names and names[name] in declared}


def _unwrapped(hint: Any) -> Any:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(bare) in (Union, UnionType):
        choices = [item for item in get_args(bare) if item is not NoneType]
        return choices[0] if len(choices) == 1 else hint
    return bare if isinstance(bare, type) and issubclass(bare, msgspec.Struct) else hint


def _secrecy(struct: type[msgspec.Struct], name: str) -> Secrecy:
    return field_infos(struct)[name].secrecy


def _map_levels(hint: Any) -> int:
    """Count how many keys lead to a value: 1 for a map of options, 2 for a map of such maps."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return 1 + _map_levels(get_args(bare)[1]) if get_origin(bare) is dict else 0


def _typed(field: Field, raw: str) -> Any:
    bare = get_args(field.hint)[0] if get_origin(field.hint) is Annotated else field.hint
    value: Any = [part.strip() for part in raw.split(",") if part.strip()] if get_origin(bare) is tuple else raw
    try:
        return msgspec.to_builtins(msgspec.convert(value, field.hint, strict=False))
    except msgspec.ValidationError as exc:
        reason = str(exc).replace("`", "")
        raise ConfigError([f"cannot use {raw!r} for {field.name}: {reason[:1].lower()}{reason[1:]}"]) from exc
