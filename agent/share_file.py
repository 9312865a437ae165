"""Shares in a file that a person wrote: JSON or TOML, one share or many."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from weft.errors import ConfigError, DecodeError
from weft.wire.share import ShareMount, parse_share

DEFAULT_PLACE = "/run/weft/shares"


def load_share_file(path: Path) -> tuple[ShareMount, ...]:
    """
    Read one share, an array of shares, or an object whose ``shares`` is one, as ``weft publish FILE`` does.

    Raises:
        ConfigError: the file cannot be read, or every problem of what is in it.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise ConfigError([f"cannot read {path}: {why}"]) from exc
    return parse_share_text(text, where=str(path))


def parse_share_text(text: str, *, where: str) -> tuple[ShareMount, ...]:
    """
    Read shares from *text*; a share without a mount point gets the usual one.

    Raises:
        ConfigError: every problem there is, with *where* and the element it is in.
    """
    content = _parse(text, where)
    elements = content.get("shares", [content]) if isinstance(content, dict) and content else content
    if not isinstance(elements, list) or not elements:
        raise ConfigError([f"cannot use {where}: expected one share, an array of shares, or shares = an array"])
    shares: dict[str, ShareMount] = {}
    problems = []
    for index, element in enumerate(elements):
        try:
            share = parse_share(_with_place(element))
        except DecodeError as exc:
            problems.append(f"{where}: shares[{index}]: {exc.reason}")
            continue
        if share.is_unmount or share.id in shares:
            problems.append(f"{where}: shares[{index}]: id {share.id!r} stands twice, or asks to be unmounted")
        shares[share.id] = share
    if problems:
        raise ConfigError(problems)
    return tuple(shares.values())


def _with_place(element: Any) -> Any:
    if not isinstance(element, dict) or element.get("mount_point") or not isinstance(element.get("id"), str):
        return element
    return {**element, "mount_point": f"{DEFAULT_PLACE}/{element['id']}"}


def _parse(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        json_problem = f"it is not JSON: {exc}"
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        is_json = text.lstrip()[:1] in ("{", "[") and "=" not in text.partition("\n")[0]
        raise ConfigError([f"cannot read {where}: {json_problem if is_json else exc}"]) from exc
