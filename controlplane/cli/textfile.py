"""Read what an operator hands over: a file's text, or standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from weft.errors import ConfigError


def read_text(name: str) -> str:
    """
    Read the file *name*; ``-`` is standard input.

    Raises:
        ConfigError: it cannot be read, or is not text.
    """
    try:
        return sys.stdin.read() if name == "-" else Path(name).expanduser().read_text()
    except OSError as exc:
        raise ConfigError([f"cannot read {name}: {(exc.strerror or type(exc).__name__).lower()}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"cannot read {name}: it is not text"]) from exc
