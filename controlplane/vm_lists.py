"""VM ids as people and programs write them (pure): lines, words, ranges such as ``vm-{01..30}``, or a JSON array."""

from __future__ import annotations

import re
from collections.abc import Iterator

from controlplane.plain_values import parse_values
from weft.errors import ConfigError
from weft.wire.ids import VmId, parse_vm_id

MAX_EXPANDED = 100_000
"""Ten times the largest fleet there is; a slip such as ``{1..999999999}`` must not fill the memory."""
LONGEST_PATTERN = 1024
"""A name has at most 128 characters; what is much longer expands to nothing that is one."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"^(\d{1,9})\.\.(\d{1,9})(?:\.\.(\d{1,9}))?\Z")
_BETWEEN = re.compile(r"[\s,]+(?![^{}]*\})")


def parse_vm_ids(text: str, *, where: str) -> tuple[VmId, ...]:
    """
    Read VM ids, each once, in order; blanks and ``#`` comments are left out.

    Args:
        text: Ids separated by line breaks, blanks or commas, or a JSON array of them; with ranges, see
            :func:`expand_braces`.
        where: Named in the error.

    Raises:
        ConfigError: a JSON text that is no array of texts, or a range that cannot be read.
        SubjectError: an id is not one subject token.
    """
    words = _json_array(text, where) if text.lstrip().startswith("[") else _words(text)
    found: dict[VmId, None] = {}
    for word in words:
        found.update((parse_vm_id(item), None) for item in expand_braces(word))
        if len(found) > MAX_EXPANDED:
            raise ConfigError([f"cannot use {where}: it names more than {MAX_EXPANDED} VMs"])
    return tuple(found)


def expand_braces(text: str) -> list[str]:
    """
    Write out every range, as a shell would: ``vm-{01..30}``, ``{a,b}-{1..9..2}``.

    Numbers get as many digits as the wider end has where one of them begins with 0.

    Raises:
        ConfigError: what stands in braces is no range and no list, or there are too many.
    """
    if len(text) > LONGEST_PATTERN:
        raise ConfigError([f"cannot use {text[:40]!r}…: it is longer than any name or range"])
    results = [text]
    while (found := _BRACES.search(results[0])) is not None:
        alternatives = list(_alternatives(found[1], text))
        if len(results) * len(alternatives) > MAX_EXPANDED:
            raise ConfigError([f"cannot expand {text!r}: it is more than {MAX_EXPANDED} names"])
        results = [
            f"{head}{middle}{tail}"
            for item in results
            for head, _, tail in [_parted(item, found[0])]
            for middle in alternatives
        ]
    return results


def _parted(text: str, braces: str) -> tuple[str, str, str]:
    return text.partition(braces)


def _alternatives(inside: str, text: str) -> Iterator[str]:
    found = _RANGE.match(inside)
    if found is None:
        if "," not in inside:
            raise ConfigError([f"cannot expand {text!r}: expected a range as {{01..30}} or a list as {{a,b}}"])
        yield from inside.split(",")
        return
    first, last, step = found[1], found[2], max(1, int(found[3] or 1))
    is_padded = any(len(end) > 1 and end.startswith("0") for end in (first, last))
    width = max(len(first), len(last)) if is_padded else 0
    start, end = int(first), int(last)
    if abs(end - start) // step > MAX_EXPANDED:
        raise ConfigError([f"cannot expand {text!r}: it is more than {MAX_EXPANDED} names"])
    numbers = range(start, end + 1, step) if start <= end else range(start, end - 1, -step)
    yield from (f"{number:0{width}}" for number in numbers)


def _words(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in _BETWEEN.split(line.partition("#")[0]) if word]


def _json_array(text: str, where: str) -> list[str]:
    content = parse_values(text, where=where)
    if not isinstance(content, list) or not all(isinstance(item, str) for item in content):
        raise ConfigError([f"cannot use {where}: expected an array of VM ids"])
    return content
