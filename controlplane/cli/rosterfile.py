"""VM ids as a text: one per line, or a JSON array. Pure."""

from __future__ import annotations

import json

from weft.errors import ConfigError
from weft.wire.ids import VmId, parse_vm_id


def parse_vm_ids(text: str, *, where: str) -> tuple[VmId, ...]:
    """
    Read VM ids, each once, in order; blanks and ``#`` comments are left out.

    Args:
        text: Ids separated by line breaks, blanks or commas, or a JSON array of them.
        where: Named in the error.

    Raises:
        ConfigError: a JSON text that is no array of texts.
        SubjectError: an id is not one subject token.
    """
    words = _json_array(text, where) if text.lstrip().startswith("[") else _words(text)
    return tuple(dict.fromkeys(parse_vm_id(word) for word in words))


def _words(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in line.partition("#")[0].replace(",", " ").split()]


def _json_array(text: str, where: str) -> list[str]:
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise ConfigError([f"cannot read {where} as JSON: {exc}"]) from exc
    if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
        raise ConfigError([f"cannot use {where}: expected an array of VM ids"])
    return content
