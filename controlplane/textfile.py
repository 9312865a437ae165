"""What a file has that an operator names: never more than fits, never for ever, and as text only what is text."""

from __future__ import annotations

import os
import select
import stat
import time
from pathlib import Path

from weft.errors import ConfigError

MOST_BYTES = 64 << 20
"""The export of 10,000 VMs in five classes each, with a share of 2 kB for every one of them, has 32 MB."""
SILENCE_S = 30.0
"""A pipe that somebody named and nobody writes into."""
_CHUNK = 1 << 20


def read_text(path: Path, *, most_bytes: int = MOST_BYTES) -> str:
    """
    Read the file at *path*, or what comes through the pipe there.

    Raises:
        ConfigError: It cannot be read, is no file, is too large or silent, or is not text.
    """
    return decode_text(read_bytes(path, most_bytes=most_bytes), name=str(path))


def read_bytes(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Read the same as it is; raises as :func:`read_text`."""
    name = str(path)
    try:
        # Not waiting, because opening a pipe that has no writer never returns.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as exc:  # a path with a NUL is a ValueError
        raise _refused(name, _reason(exc)) from exc
    try:
        return _read(handle, name, most_bytes)
    except OSError as exc:
        raise _refused(name, _reason(exc)) from exc
    finally:
        os.close(handle)


def _read(handle: int, name: str, most_bytes: int) -> bytes:
    mode = os.fstat(handle).st_mode
    if stat.S_ISDIR(mode):
        raise _refused(name, "it is a directory")
    is_pipe = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(handle))
    if not is_pipe and not stat.S_ISREG(mode):
        raise _refused(name, "it is a device")
    content = bytearray()
    while chunk := _next(handle, name) if is_pipe else os.read(handle, _CHUNK):
        content += chunk
        if len(content) > most_bytes:
            raise too_large(name, most_bytes)
    return bytes(content)


def _next(handle: int, name: str) -> bytes:
    """Return what comes next through a pipe, nothing at its end."""
    deadline_s = time.monotonic() + SILENCE_S
    while (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([handle], [], [], left_s)[0]:
            try:
                return os.read(handle, _CHUNK)
            except BlockingIOError:
                continue
    raise _refused(name, f"nothing came for {SILENCE_S:.0f} s")


def decode_text(content: bytes, *, name: str) -> str:
    """
    Return *content* as text, with line breaks as Python has them and without the mark that some editors begin with.

    Raises:
        ConfigError: It is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _refused(name, "it is not text") from exc
    return text.replace("\r\n", "\n").replace("\r", "\n")


def too_large(name: str, most_bytes: int) -> ConfigError:
    """Build the error for something that does not end where it should have."""
    return _refused(name, f"it is larger than {most_bytes >> 20} MiB")


def _reason(exc: OSError | ValueError) -> str:
    if isinstance(exc, OSError):
        return (exc.strerror or type(exc).__name__).lower()
    return "it is no path"


def _refused(name: str, why: str) -> ConfigError:
    return ConfigError([f"cannot read {name}: {why}"])
