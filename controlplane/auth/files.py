"""Writing files so that a secret is never readable by others, and a reader never finds half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from weft.errors import ConfigError


def ensure_private_directory(path: Path) -> None:
    """
    Make the directory *path* for its owner alone; one that is there keeps its permissions.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise _refused("make", path, exc) from exc


def write_new_secret(path: Path, text: str) -> bool:
    """
    Write *text* into a new file, mode 0600 from its first moment; a file that is there is kept.

    Returns:
        Whether it was written.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        _write(path, text, mode=0o600)
    except FileExistsError:
        return False
    except OSError as exc:
        raise _refused("write", path, exc) from exc
    return True


def replace_file(path: Path, text: str, *, mode: int) -> None:
    """
    Give *path* the content *text* in one step, unless it has it.

    Raises:
        ConfigError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if path.is_file() and path.read_text() == text and path.stat().st_mode & 0o777 == mode:
            return
        try:
            _write(beside, text, mode=mode)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise _refused("write", path, exc) from exc


def _write(path: Path, text: str, *, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(handle, mode)
        os.fsync(handle)


def _refused(verb: str, path: Path, exc: Exception) -> ConfigError:
    why = getattr(exc, "strerror", None) or type(exc).__name__
    return ConfigError([f"cannot {verb} {path}: {why.lower()}"])
