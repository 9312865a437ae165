"""Structs that keep what they do not know: decoding ignores unknown fields, re-encoding gives them back."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from weft.errors import DecodeError
from weft.wire.fields import Secrecy, field_infos
from weft.wire.redact import redacted_value

_EXTRA_KEY = "(extra)"
"""The wire name under which unknown fields travel through msgspec; the same key in a message counts as unknown."""

T = TypeVar("T", bound="Tolerant")


class Tolerant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every wire struct: unknown fields are kept in *extra*, and a repr never shows a secret."""

    extra: dict[str, Any] = msgspec.field(default_factory=dict, name=_EXTRA_KEY)

    def __repr__(self) -> str:
        infos = field_infos(type(self))
        parts = []
        for field in msgspec.structs.fields(self):
            if field.encode_name == _EXTRA_KEY:
                if self.extra:
                    parts.append(f"extra={sorted(self.extra)}")
                continue
            value = getattr(self, field.name)
            if value == field.default:
                continue
            secrecy = infos[field.encode_name].secrecy if field.encode_name in infos else Secrecy.PUBLIC
            parts.append(f"{field.name}={redacted_value(value, secrecy)!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    __str__ = __repr__


def from_builtins(struct: type[T], obj: object, *, what: str) -> T:
    """
    Convert decoded JSON into *struct*, keeping unknown fields.

    A null stands for an absent field, as publishers in Go write it.

    Args:
        struct: The wire struct.
        obj: What the JSON decoder returned.
        what: Named in the error, for example ``"share 'tools'"``.

    Raises:
        DecodeError: names the field, and the value unless it is secret.
    """
    try:
        return msgspec.convert(_split(struct, obj), struct)
    except msgspec.ValidationError as exc:
        raise _translate(exc, struct, obj, what) from exc


def to_builtins(value: Tolerant) -> dict[str, Any]:
    """Convert to plain values for JSON: defaults left out, unknown fields given back at their place."""
    merged: dict[str, Any] = _merge(msgspec.to_builtins(value))
    return merged


def _merge(value: Any) -> Any:
    if isinstance(value, dict):
        extra = value.get(_EXTRA_KEY)
        merged = {key: _merge(item) for key, item in value.items() if key != _EXTRA_KEY}
        return merged | extra if extra else merged
    if isinstance(value, list | tuple):
        return [_merge(item) for item in value]
    return value


def _split(struct: type[Tolerant], obj: object) -> object:
    if not isinstance(obj, Mapping):
        return obj
    nested = _nested(struct)
    known: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, value in obj.items():
        if key not in nested:
            unknown[key] = value
        elif value is not None:
            inner, many = nested[key]
            if inner is None:
                known[key] = value
            elif many:
                known[key] = [_split(inner, item) for item in value] if isinstance(value, list) else value
            else:
                known[key] = _split(inner, value)
    if unknown:
        known[_EXTRA_KEY] = unknown
    return known


@cache
def _nested(struct: type[Tolerant]) -> dict[str, tuple[type[Tolerant] | None, bool]]:
    """Map each wire name of *struct* to the tolerant struct inside it, if any, and whether it is a sequence of them."""
    hints = get_type_hints(struct)
    return {
        field.encode_name: _tolerant_in(hints[field.name])
        for field in msgspec.structs.fields(struct)
        if field.encode_name != _EXTRA_KEY
    }


def _tolerant_in(hint: Any, *, many: bool = False) -> tuple[type[Tolerant] | None, bool]:
    if isinstance(hint, type) and issubclass(hint, Tolerant):
        return hint, many
    is_sequence = getattr(hint, "__origin__", None) in (tuple, list)
    for arg in get_args(hint):
        inner, is_many = _tolerant_in(arg, many=many or is_sequence)
        if inner is not None:
            return inner, is_many
    return None, False


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_NOT_IN_ENUM = "Invalid enum value"
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")


def _translate(exc: msgspec.ValidationError, struct: type[Tolerant], obj: object, what: str) -> DecodeError:
    """Turn msgspec's text into a sentence that names field and value."""
    matched = _AT.match(str(exc))
    assert matched is not None, "the pattern matches any text"
    path = (matched["path"] or "$").removeprefix("$").lstrip(".")
    reason = matched["what"].replace(_EXTRA_KEY, "extra")
    missing = _MISSING.match(reason)
    if missing is not None:
        field = f"{path}.{missing['name']}".lstrip(".")
        return DecodeError(f"cannot decode {what}: {field} is missing", field=field)
    allowed = _allowed_at(struct, path) if reason.startswith(_NOT_IN_ENUM) else ()
    reason = f"it must be {_one_of(allowed)}" if allowed else reason[:1].lower() + reason[1:].replace("`", "")
    where = f"{path} = {_shown(struct, obj, path)}: " if path else ""
    return DecodeError(f"cannot decode {what}: {where}{reason}", field=path)


def _allowed_at(struct: type[Tolerant], path: str) -> tuple[object, ...]:
    """Return the values that the enum at *path* has; empty where none is found."""
    inner: type[Tolerant] | None = struct
    hint: Any = None
    for part in re.findall(r"[^.\[\]]+", path):
        if inner is None or part not in _nested(inner):
            continue  # an index, or a key of a plain object
        field = next(field for field in msgspec.structs.fields(inner) if field.encode_name == part)
        hint, inner = get_type_hints(inner)[field.name], _nested(inner)[part][0]
    return _values_in(hint)


def _values_in(hint: Any) -> tuple[object, ...]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return tuple(member.value for member in hint)
    return next((values for arg in get_args(hint) if (values := _values_in(arg))), ())


def _one_of(values: tuple[object, ...]) -> str:
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last


def _shown(struct: type[Tolerant], obj: Any, path: str) -> str:
    """Quote the value at *path*, or ``'***'`` where any field on the way is secret."""
    inner: type[Tolerant] | None = struct
    for part in re.findall(r"[^.\[\]]+", path):
        infos = field_infos(inner) if inner is not None else {}
        if part in infos and infos[part].secrecy is not Secrecy.PUBLIC:
            return "'***'"
        if isinstance(obj, Mapping):
            obj = obj.get(part)
            inner = _nested(inner)[part][0] if inner is not None and part in _nested(inner) else inner
        elif isinstance(obj, list) and part.isdigit():
            obj = obj[int(part)]
        else:
            return "…"
    text = repr(obj)
    return text if len(text) <= 80 else text[:77] + "…"
