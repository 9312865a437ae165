"""Read what an operator hands over: a file's text, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from controlplane import textfile
from controlplane.textfile import MOST_BYTES, decode_text, too_large

STDIN = "standard input"


def read_text(name: str) -> str:
    """
    Read the file *name*; ``-`` is standard input.

    Raises:
        ConfigError: it cannot be read, is too large, or is not text.
    """
    if name != "-":
        return textfile.read_text(Path(name).expanduser())
    if not hasattr(sys.stdin, "buffer"):
        return sys.stdin.read()  # put there by a program that calls us
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise too_large(STDIN, MOST_BYTES)
    return decode_text(content, name=STDIN)
