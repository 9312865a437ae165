"""JSON or TOML text as plain values (pure), within bounds: a file may be somebody else's export, or a mistake."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, NoReturn

from weft.errors import ConfigError

MOST_LEVELS = 32
"""A catalog's export has seven; options of a driver of another package may have some of their own."""
MOST_TOML_CHARACTERS = 4 << 20
"""Python's reader takes a second for each million; a roster of 10,000 VMs has 200,000."""

_NAME = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DOTTED = re.compile(rf"""(?<![A-Za-z0-9_"'-])(?:{_NAME}\.[ \t]*+){{{MOST_LEVELS}}}""")
"""A name with so many dots is as many levels, and takes Python's reader (3.11) the cube of their number."""


def parse_values(text: str, *, where: str) -> Any:
    """
    Read JSON, or TOML where it is not JSON.

    Args:
        text: The text, whoever wrote it.
        where: Named in the error.

    Raises:
        ConfigError: It is neither, nested too deeply, or holds what no text on the wire can.
    """
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise _too_deep(where) from exc
    except ValueError as exc:
        values = _toml(text, where, not_json=exc)
    if not is_shallow(values, MOST_LEVELS):
        raise _too_deep(where)
    if not _is_text_throughout(values):
        raise ConfigError([f"cannot read {where}: it holds a NUL, or half of a character"])
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _toml(text: str, where: str, *, not_json: ValueError) -> Any:
    kind = _kind(text, where)
    if kind == "JSON" and len(text) > MOST_TOML_CHARACTERS:
        raise ConfigError([f"cannot read {where} as JSON: {_reason(not_json)}"]) from not_json
    if len(text) > MOST_TOML_CHARACTERS:
        limit = MOST_TOML_CHARACTERS >> 20
        raise ConfigError([f"cannot read {where} as TOML: it is larger than {limit} MiB; as JSON it may be"])
    if _DOTTED.search(text):
        raise _too_deep(where) from not_json
    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        raise _too_deep(where) from exc
    except ValueError as exc:  # also a number that has more digits than Python reads
        why = not_json if kind == "JSON" else exc
        raise ConfigError([f"cannot read {where} as {kind}: {_reason(why)}"]) from exc


def _kind(text: str, where: str) -> str:
    """Say which of the two somebody meant to write."""
    start = "".join(text[:200].split())[:2]
    is_json = where.endswith(".json") or (
        not where.endswith(".toml")
        and start[:1] in ("{", "[")
        and start != "[["
        and "=" not in text.lstrip().split("\n", 1)[0]
    )
    return "JSON" if is_json else "TOML"


def _reason(exc: ValueError) -> str:
    """Return the parser's reason; neither parser quotes more than one character of the file."""
    return str(exc)[:1].lower() + str(exc)[1:]


def _too_deep(where: str) -> ConfigError:
    return ConfigError([f"cannot read {where}: it is nested more than {MOST_LEVELS} levels deep"])


def is_shallow(values: Any, levels: int) -> bool:
    """Say whether *values* are nested at most *levels* deep, without going deeper to find out."""
    level = [values]
    for _ in range(levels):
        level = [below for value in level if isinstance(value, Mapping | list) for below in _below(value)]
        if not level:
            return True
    return not any(isinstance(value, Mapping | list) for value in level)


def _below(value: Mapping[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, Mapping) else value


def _is_text_throughout(values: Any) -> bool:
    """Say whether every text in *values* can be written as UTF-8, and in an argument."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        match value:
            case str():
                if "\0" in value or not _is_encodable(value):
                    return False
            case Mapping():
                waiting += [*value.keys(), *value.values()]
            case list():
                waiting += value
    return True


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
