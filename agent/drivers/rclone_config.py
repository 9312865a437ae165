"""Builds rclone's configuration file, and follows which remotes wrap which, down to the guest's own files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.drivers.rclone_options import check_config_option
from weft.errors import DecodeError, ErrorCode, MountError
from weft.obscure import is_obscured_option, obscure
from weft.wire.blocks import RcloneBlock
from weft.wire.paths import parse_absolute_path
from weft.wire.share import ShareMount

MAIN: Final = "weft"
"""The section of the remote that is mounted."""

_SECTION_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]*\Z")
_SUBSTITUTION: Final = re.compile(r"%\([^)]*\)s")
_UNION_SUFFIXES: Final = (":ro", ":nc", ":writeback")


@dataclass(frozen=True, slots=True)
class RcloneConfig:
    """
    A configuration file and what must be redacted besides the spec's own secrets.

    Attributes:
        content: The file; it is never shown.
        obscured: The obscured passwords in it.
    """

    content: bytes
    obscured: frozenset[str]


def build_config(share: ShareMount, block: RcloneBlock, allowed: frozenset[str]) -> RcloneConfig:
    """
    Build the file with section ``weft`` and one section per further remote.

    Raises:
        MountError: an option is refused, or a value cannot stand in rclone's file format.
    """
    find_source_paths(share, block)
    lines: list[str] = []
    obscured: set[str] = set()
    for section, options in _sections(share, block).items():
        remote_type = str(options["type"])
        lines.append(f"[{section}]")
        for name, value in options.items():
            check_config_option(share.id, f"section {section!r}", name, value, allowed)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if text and is_obscured_option(remote_type, name):
                text = obscure(text)
                obscured.add(text)
            lines.append(f"{name} = {_quote(share, name, text)}")
        lines.append("")
    return RcloneConfig("\n".join(lines).encode(), frozenset(obscured))


def find_source_paths(share: ShareMount, block: RcloneBlock) -> tuple[str, ...]:
    """
    Name the directories of this guest that the remotes reach.

    Raises:
        MountError: a wrapped remote is not one of the share's own, or a local path is relative or holds ``..``.
    """
    sections = _sections(share, block)
    paths = [
        (where, path) for name, options in sections.items() for where, path in _local_references(share, name, sections)
    ]
    if block.type == "local":
        paths.append(("rclone.path", block.path))
    if paths and ".." in block.path.split("/"):
        raise _bad(share, f"rclone.path {block.path!r} holds '..'")
    try:
        return tuple(dict.fromkeys(parse_absolute_path(path, field=where) for where, path in paths))
    except DecodeError as exc:
        raise _bad(share, exc.reason.removeprefix("cannot use ")) from exc


def _sections(share: ShareMount, block: RcloneBlock) -> dict[str, Mapping[str, Any]]:
    """Return all sections by name, the mounted one first, each with its type."""
    if block.config.get("type", block.type) != block.type:
        raise _bad(share, f"rclone.config says type {block.config['type']!r}, rclone.type says {block.type!r}")
    sections: dict[str, Mapping[str, Any]] = {MAIN: {"type": block.type, **block.config}}
    for name, options in block.remotes.items():
        if name == MAIN or not _SECTION_NAME.match(name):
            raise _bad(share, f"{name!r} cannot be the name of one of rclone.remotes")
        if not options.get("type"):
            raise _bad(share, f"rclone.remotes.{name} has no type")
        sections[name] = options
    return sections


def _local_references(
    share: ShareMount, section: str, sections: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield where it stands and the path, for every reference of *section* that ends in this guest's own files."""
    for reference in _references(sections[section]):
        where = f"the remote that section {section!r} wraps"
        if reference.startswith("/"):
            yield where, reference
            continue
        name, colon, path = reference.partition(":")
        if not colon or name not in sections or name == MAIN:
            raise _bad(share, f"section {section!r} wraps {name!r}, which is not one of rclone.remotes")
        if sections[name]["type"] == "local":
            yield where, path
        elif ".." in path.split("/"):
            raise _bad(share, f"section {section!r} wraps a path that holds '..'")


def _references(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a section wraps: ``remote`` of alias, crypt and their like, ``upstreams`` of union and combine."""
    if options.get("remote"):
        yield str(options["remote"])
    for upstream in _split(str(options.get("upstreams", ""))):
        reference = upstream.partition("=")[2] if options["type"] == "combine" else upstream
        suffix = next((suffix for suffix in _UNION_SUFFIXES if reference.endswith(suffix)), "")
        yield reference.removesuffix(suffix)


def _split(upstreams: str) -> list[str]:
    """Split as rclone does: by spaces, with double quotes around what holds one."""
    return [part for row in csv.reader([upstreams], delimiter=" ") for part in row if part]


def _quote(share: ShareMount, name: str, value: str) -> str:
    """Write *value* so that rclone reads it back unchanged: it trims blanks, drops quotes and fills ``%(x)s`` in."""
    if _SUBSTITUTION.search(value) or any(char in value for char in "\n\r\x00"):
        raise _bad(share, f"the value of {name!r} cannot stand in rclone's configuration")
    if value == value.strip() and not value.startswith(("`", '"')):
        return value
    if "`" not in value:
        return f"`{value}`"
    if '"""' not in value:
        return f'"""{value}"""'
    raise _bad(share, f"the value of {name!r} cannot stand in rclone's configuration")


def _bad(share: ShareMount, why: str) -> MountError:
    return MountError(f"cannot mount share {share.id!r}: {why}", code=ErrorCode.BAD_SPEC)
