"""Mount points as text: what the contract accepts before any guest looks at its own file system."""

from __future__ import annotations

import re
from typing import NewType

from weft.errors import DecodeError

MountPoint = NewType("MountPoint", str)

MAX_PATH_BYTES = 4095
"""PATH_MAX less its terminating zero byte."""

MAX_DEPTH = 64
"""Directories in a path; plans look at each one above each mount point, and nobody's data lies half as deep."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

SYSTEM_TREES = (
    "/bin", "/boot", "/dev", "/etc", "/gnu", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/proc", "/run", "/sbin",
    "/snap", "/sys", "/usr", "/var/lib", "/var/spool",
)  # fmt: skip
"""Nothing is ever mounted on or below these: a share there could replace what the guest itself runs on (programs,
libraries, units, jobs of cron, scripts that packages run as root)."""

FOR_MOUNTS = ("/run/media", "/run/weft/shares")
"""Below a system tree, and yet made for mounts."""

SYSTEM_DIRECTORIES = (
    "/home", "/lost+found", "/opt", "/root", "/srv", "/tmp", "/var", "/var/cache", "/var/log", "/var/mail", "/var/tmp",
)  # fmt: skip
"""Nothing is mounted on these themselves: it would hide what other programs keep there. Below them is policy."""


def parse_absolute_path(value: str, *, field: str) -> str:
    """
    Accept an absolute, normalised path; one trailing slash is dropped.

    Args:
        value: The text as it stood on the wire.
        field: Named in the error.

    Raises:
        DecodeError: relative, empty, with ``.``, ``..`` or ``//``, with control characters, too long or too deep.
    """

    def refuse(why: str) -> DecodeError:
        return DecodeError(f"cannot use {field} {value!r}: {why}", field=field)

    if not value:
        raise refuse("it is empty")
    if value != value.strip():
        raise refuse("it begins or ends with white space")
    if not value.startswith("/"):
        raise refuse("it is not an absolute path")
    if _CONTROL.search(value):
        raise refuse("it holds control characters")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise refuse(f"it is longer than {MAX_PATH_BYTES} bytes")
    path = value[:-1] if len(value) > 1 and value.endswith("/") else value
    segments = path.split("/")[1:]
    if len(segments) > MAX_DEPTH:
        raise refuse(f"it has more than {MAX_DEPTH} directories")
    if path != "/" and "" in segments:
        raise refuse("it holds '//'")
    if "." in segments or ".." in segments:
        raise refuse("it holds '.' or '..'")
    return path


def parse_mount_point(value: str, *, field: str = "mount_point") -> MountPoint:
    """
    Accept *value* as a mount point.

    Raises:
        DecodeError: as :func:`parse_absolute_path`, or it is ``/``.
    """
    path = parse_absolute_path(value, field=field)
    if path == "/":
        raise DecodeError(f"cannot use {field} '/': it is the root of the file system", field=field)
    return MountPoint(path)


def is_at_or_below(path: str, root: str) -> bool:
    """Say whether *path* is *root* or lies below it; both normalised, no file system is asked."""
    return path == root or root == "/" or path.startswith(root + "/")


def is_below(path: str, root: str) -> bool:
    """Say whether *path* lies strictly below *root*."""
    return path != root and is_at_or_below(path, root)


def system_directory_of(path: str) -> str | None:
    """Name the system directory that forbids a mount at *path*, or None where no system directory does."""
    if path in SYSTEM_DIRECTORIES:
        return path
    if any(is_at_or_below(path, place) for place in FOR_MOUNTS):
        return None
    return next((tree for tree in SYSTEM_TREES if is_at_or_below(path, tree)), None)


def hidden_directory_of(path: str) -> str | None:
    """Name the outermost component of *path* that begins with a dot, as the path to it; None where none does."""
    names = path.split("/")
    first = next((at for at, name in enumerate(names) if name.startswith(".")), None)
    return None if first is None else "/".join(names[: first + 1])


def find_objection(path: str) -> str | None:
    """
    Say why *path* is no place for a share on any guest, whatever its settings are; None where nothing is known.

    Returns:
        The end of a sentence, such as ``"it lies in the system directory '/etc'"``.
    """
    system = system_directory_of(path)
    if system is not None:
        return "it is a system directory" if system == path else f"it lies in the system directory {system!r}"
    hidden = hidden_directory_of(path)
    if hidden is not None:
        return f"it is, or lies in, the hidden directory {hidden!r}, where programs keep settings and keys"
    return None
