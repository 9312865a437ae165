"""Follows which remotes of a share wrap which, down to the guest's own directories (pure)."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.drivers.rclone_options import check_type, known_type
from agent.drivers.rclone_types import OPTIONS, WRAPPERS
from weft.errors import DecodeError, ErrorCode, MountError
from weft.wire.blocks import RcloneBlock
from weft.wire.paths import parse_absolute_path
from weft.wire.share import ShareMount

MAIN: Final = "weft"
"""The section of the remote that is mounted."""

Sections = Mapping[str, Mapping[str, Any]]

_LOCAL: Final = "local"
_SECTION_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,127}\Z")
_UNION_SUFFIXES: Final = (":ro", ":nc", ":writeback")
_WORD: Final = re.compile(r'(?:"((?:[^"]|"")*)"|([^" ]*))( |\Z)')
"""A field of rclone's lists: CSV with a blank between, quotes around the whole of a field or nowhere."""
_READ_AS_OTHERS: Final = re.compile("[\u2400-\u2421\u201b\uff0e\uff0f]")
"""Symbols for control characters, the wide dot and slash: rclone may open another path than the one it is told."""
_MOST_STEPS: Final = 500
"""More than any share needs; remotes that wrap two others each would reach any number of directories."""


@dataclass(frozen=True, slots=True)
class _Reference:
    """
    What a section wraps.

    Attributes:
        section: Its name; None for a path of the guest.
        path: Within it.
        at: The directory under which ``combine`` shows it; empty elsewhere.
    """

    section: str | None
    path: str
    at: str = ""


def read_sections(share: ShareMount, block: RcloneBlock) -> Sections:
    """
    Return all sections of rclone's configuration by name, the mounted one first, each with its type.

    Raises:
        MountError: a name or a type is missing, or would change what another section means.
    """
    if block.config.get("type", block.type) != block.type:
        raise bad_spec(share, f"rclone.config says another type than rclone.type, {block.type!r}")
    sections: dict[str, Mapping[str, Any]] = {MAIN: {"type": block.type, **block.config}}
    for name, options in block.remotes.items():
        if name == MAIN or not _SECTION_NAME.match(name):
            raise bad_spec(share, f"{name!r} cannot be the name of one of rclone.remotes")
        if not options.get("type"):
            raise bad_spec(share, f"rclone.remotes.{name} has no type")
        if name == _LOCAL and options["type"] != _LOCAL:
            raise bad_spec(share, f"rclone.remotes.{name} is of another type, and rclone would use it for plain paths")
        sections[name] = options
    for name in sections:
        dots = (place for place, char in enumerate(name) if char == ".")
        if any(name[:place] in sections for place in dots):
            raise bad_spec(
                share, f"rclone would read other options for {name!r} too: what is before a dot is a section"
            )
    return sections


def find_source_paths(
    share: ShareMount, block: RcloneBlock, *, allow_types: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """
    Name the directories of this guest that the remotes reach, at whatever depth.

    Args:
        share: For errors.
        block: Its remotes.
        allow_types: Further types that this guest allows; only the remotes that they name are followed.

    Raises:
        DeniedError: a type is not allowed.
        MountError: a wrapped remote is not one of the share's own, wraps itself, or is none; or a local path is
            relative, holds ``..``, or is not what rclone would open.
    """
    sections = read_sections(share, block)
    for name, options in sections.items():
        check_type(share.id, name, options["type"], allow_types, is_public=name == MAIN)
    wrapped = {name: _parse_references(share, name, sections) for name in sections}
    found: dict[str, None] = {}
    for where, path in _follow(share, sections, wrapped, block.path):
        try:
            found[parse_absolute_path(path, field=where)] = None
        except DecodeError as exc:
            raise bad_spec(share, exc.reason.removeprefix("cannot use ")) from exc
        if _READ_AS_OTHERS.search(path):
            raise bad_spec(share, f"{where} {path!r} holds characters that rclone reads as others")
    return tuple(found)


def bad_spec(share: ShareMount, why: str) -> MountError:
    """Build the error of a share that asks for what cannot be."""
    return MountError(f"cannot mount share {share.id!r}: {why}", code=ErrorCode.BAD_SPEC)


def _follow(
    share: ShareMount, sections: Sections, wrapped: Mapping[str, tuple[_Reference, ...]], main_path: str
) -> Iterator[tuple[str, str]]:
    """Yield where it stands and the path, for every way that ends in this guest's own files, whether used or not."""
    if sections[MAIN]["type"] == _LOCAL:
        yield "rclone.path", main_path
    steps: deque[tuple[tuple[str, ...], str, str]] = deque(((), name, "") for name in sections)
    if main_path:
        steps.append(((), MAIN, main_path))
    count = 0
    while steps:
        trail, name, path = steps.popleft()
        count += max(1, len(wrapped[name]))
        if name in trail:
            raise bad_spec(share, f"section {name!r} wraps itself")
        if count > _MOST_STEPS:
            raise bad_spec(share, f"its remotes wrap each other in more than {_MOST_STEPS} ways")
        for reference in wrapped[name]:
            below = _path_below(sections[name], reference, path)
            if below is None:
                continue
            if reference.section is None or sections[reference.section]["type"] == _LOCAL:
                yield f"the remote that section {name!r} wraps", _join(reference.path, below)
            else:
                steps.append(((*trail, name), reference.section, _join(reference.path, below)))


def _path_below(options: Mapping[str, Any], reference: _Reference, path: str) -> str | None:
    """Say what *path* within a section is within what it wraps; None where it leads elsewhere."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    if options["type"] == "combine" and names:
        return "/".join(names[1:]) if names[0] == reference.at else None
    if options["type"] == "crypt" and not _keeps_names(options):
        return ""  # the names there depend on the password
    return "/".join(names)


def _keeps_names(options: Mapping[str, Any]) -> bool:
    is_plain = str(options.get("filename_encryption", "")).lower() == "off"
    return is_plain or str(options.get("directory_name_encryption", "")).lower() not in ("", "true")


def _join(path: str, below: str) -> str:
    return f"{path.rstrip('/')}/{below}" if path and below else path or below


def _parse_references(share: ShareMount, section: str, sections: Sections) -> tuple[_Reference, ...]:
    """Read what a section wraps; a wrapper that names nothing would take it from elsewhere, such as its path."""
    options = sections[section]
    remote_type = known_type(str(options["type"]))
    names: tuple[str, ...] = ()
    if remote_type in WRAPPERS:
        names = (WRAPPERS[remote_type],)
        if not options.get(names[0]):
            raise bad_spec(share, f"section {section!r} is of type {remote_type} and has no {names[0]}")
    elif remote_type not in OPTIONS:
        names = ("remote", "upstreams")  # what only this guest's settings allow may wrap as well
    found = []
    for name in names:
        value = str(options.get(name) or "")
        texts = ((value,) if value else ()) if name == "remote" else _split(share, section, value)
        found += [_parse_reference(share, section, sections, text) for text in texts]
    return tuple(found)


def _parse_reference(share: ShareMount, section: str, sections: Sections, text: str) -> _Reference:
    at = ""
    if sections[section]["type"] == "combine":
        at, equals, text = text.partition("=")
        if not equals or at in ("", ".", "..") or "/" in at:
            raise bad_spec(share, f"section {section!r} combines something without a directory for it")
    elif sections[section]["type"] == "union":
        suffix = next((suffix for suffix in _UNION_SUFFIXES if text.endswith(suffix)), "")
        text = text.removesuffix(suffix)
    if text.startswith("/"):
        return _Reference(None, text, at)
    name, colon, path = text.partition(":")
    if not colon or name not in sections or name == MAIN:
        raise bad_spec(share, f"section {section!r} wraps what is neither one of rclone.remotes nor a path from /")
    if sections[name]["type"] != _LOCAL and ".." in path.split("/"):
        raise bad_spec(share, f"section {section!r} wraps a path that holds '..'")
    if sections[name]["type"] == _LOCAL and not path:
        raise bad_spec(share, f"section {section!r} wraps section {name!r} without a path")
    return _Reference(name, path, at)


def _split(share: ShareMount, section: str, text: str) -> list[str]:
    """
    Split as rclone does, and refuse what the two might read differently.

    Source:
        rclone's SpaceSepList: Go's encoding/csv with a blank as its comma.
    """
    words, end = [], 0
    while end < len(text):
        match = _WORD.match(text, end)
        if match is None:
            raise bad_spec(share, f"the upstreams of section {section!r} have quotes within a name")
        quoted, plain, _ = match.groups()
        words.append(plain if quoted is None else quoted.replace('""', '"'))
        end = match.end()
    return [word for word in words if word]
