"""Builds rclone's configuration file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from agent.drivers.rclone_options import check_config_option
from agent.drivers.rclone_remotes import bad_spec, find_source_paths, read_sections
from weft.obscure import is_obscured_option, obscure
from weft.wire.blocks import RcloneBlock
from weft.wire.share import ShareMount

_SUBSTITUTION: Final = re.compile(r"%\([^)]*\)s")


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


def build_config(
    share: ShareMount, block: RcloneBlock, allowed: frozenset[str], *, allow_types: frozenset[str] = frozenset()
) -> RcloneConfig:
    """
    Build the file with section ``weft`` and one section per further remote.

    Args:
        share: For errors.
        block: Its remotes.
        allowed: Further options that this guest allows.
        allow_types: Further types that it allows.

    Raises:
        MountError: a type or an option is refused, or a value cannot stand in rclone's file format.
    """
    find_source_paths(share, block, allow_types=allow_types)
    lines: list[str] = []
    obscured: set[str] = set()
    for section, options in read_sections(share, block).items():
        remote_type = str(options["type"])
        lines.append(f"[{section}]")
        for name, value in options.items():
            check_config_option(share.id, f"section {section!r}", remote_type, name, value, allowed)
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if text and is_obscured_option(remote_type, name):
                text = obscure(text)
                obscured.add(text)
            lines.append(f"{name} = {_quote(share, name, text)}")
        lines.append("")
    return RcloneConfig("\n".join(lines).encode(), frozenset(obscured))


def _quote(share: ShareMount, name: str, value: str) -> str:
    """Write *value* so that rclone reads it back unchanged: it trims blanks, drops quotes and fills ``%(x)s`` in."""
    if _SUBSTITUTION.search(value) or any(char in value for char in "\n\r\x00"):
        raise bad_spec(share, f"the value of {name!r} cannot stand in rclone's configuration")
    if value == value.strip() and not value.startswith(("`", '"')):
        return value
    if "`" not in value:
        return f"`{value}`"
    if '"""' not in value:
        return f'"""{value}"""'
    raise bad_spec(share, f"the value of {name!r} cannot stand in rclone's configuration")
