"""Damage to a file, by a seed: what disks, crashes, careless hands and hostile ones leave of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

_WRONG: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, "", "x", "\0", "/../etc", "\ud7ff", [], [[]], {}, {"": []}, [None], [7], {"id": 7},
)  # fmt: skip


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(item, (*path, key))


def _changed(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    copy = value.copy()
    copy[path[0]] = _changed(value[path[0]], path[1:], change)
    return copy


def _change_one(data: bytes, random: Random, change: Callable[[Any], Any]) -> bytes:
    document = json.loads(data)
    return json.dumps(_changed(document, random.choice(list(_paths(document))), change)).encode()


def flip_a_bit(data: bytes, random: Random) -> bytes:
    """Flip one."""
    place, bit = random.randrange(len(data)), random.randrange(8)
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def flip_many_bits(data: bytes, random: Random) -> bytes:
    """Flip some dozen."""
    for _ in range(random.randrange(2, 40)):
        data = flip_a_bit(data, random)
    return data


def cut_off(data: bytes, random: Random) -> bytes:
    """Keep the beginning."""
    return data[: random.randrange(len(data))]


def fill_with_zeros(data: bytes, random: Random) -> bytes:
    """Zero the rest of a block, as a power cut does."""
    place = random.randrange(len(data))
    return data[:place] + bytes(len(data) - place)


def no_text(data: bytes, random: Random) -> bytes:
    """Put a byte into it that no UTF-8 has."""
    place = random.randrange(len(data))
    return data[:place] + b"\xff" + data[place + 1 :]


def another_type(data: bytes, random: Random) -> bytes:
    """Put another kind of value somewhere."""
    return _change_one(data, random, lambda _: random.choice(_WRONG))


def nested(data: bytes, random: Random) -> bytes:
    """Put one value into a list, or an object."""
    return _change_one(data, random, lambda value: random.choice(([value], {"id": value})))


def a_key_twice(data: bytes, random: Random) -> bytes:
    """Begin with a second, other value for a key of the top level."""
    key = random.choice(list(json.loads(data) or {"": 0})) if data[:1] == b"{" else "id"
    return b"{" + json.dumps(key).encode() + b":" + json.dumps(random.choice(_WRONG)).encode() + b"," + data[1:]


def no_number(data: bytes, random: Random) -> bytes:
    """Put what is no JSON number where one is."""
    digits = [place for place, char in enumerate(data) if char in b"0123456789"] or [0]
    place = random.choice(digits)
    return data[:place] + random.choice((b"NaN", b"Infinity", b"1e999", b"9" * 400, b"-0.0")) + data[place + 1 :]


def lose_a_part(data: bytes, random: Random) -> bytes:
    """Leave out a key or an element."""
    document = json.loads(data)
    path = random.choice([path for path in _paths(document) if path] or [()])
    if not path:
        return b"{}"

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if key != path[-1]}
        return [item for index, item in enumerate(value) if index != path[-1]]

    return json.dumps(_changed(document, path[:-1], without)).encode()


CHANGES = (
    flip_a_bit, flip_many_bits, cut_off, fill_with_zeros, no_text, another_type, another_type, nested, a_key_twice,
    no_number, lose_a_part,
)  # fmt: skip


def be_a_directory(path: Path) -> None:
    """Put a directory with something in it there."""
    path.unlink()
    path.mkdir()
    (path / "something").write_text("x")


def be_a_pipe(path: Path) -> None:
    """Put a pipe there that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def be_a_link_to_itself(path: Path) -> None:
    """Put a link there that leads nowhere."""
    path.unlink()
    path.symlink_to(path)


def be_endless(path: Path) -> None:
    """Put a link to what never ends there."""
    path.unlink()
    path.symlink_to("/dev/zero")


def be_huge(path: Path) -> None:
    """Make it larger than any state is; nothing of that is on the disk."""
    os.truncate(path, 1 << 40)


def be_empty(path: Path) -> None:
    """Keep nothing."""
    path.write_bytes(b"")


def be_deep(path: Path) -> None:
    """Nest without end."""
    path.write_bytes(b'{"schema":1,"vm":"vm-7","live":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


REPLACEMENTS = (be_a_directory, be_a_pipe, be_a_link_to_itself, be_endless, be_huge, be_empty, be_deep)


def damage(path: Path, random: Random) -> str:
    """Damage the file at *path*; return what was done."""
    if random.random() < 0.15:
        replace = random.choice(REPLACEMENTS)
        replace(path)
        return replace.__name__
    change = random.choice(CHANGES)
    path.write_bytes(change(path.read_bytes(), random))
    return change.__name__
