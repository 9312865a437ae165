"""The operator's own rclone.conf: where it is, and its sections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from controlplane.rclone_source import RcloneConf, Section, parse_rclone_conf
from controlplane.textfile import read_text


def rclone_conf(environ: Mapping[str, str], home: Path) -> RcloneConf:
    """Say where the operator's rclone.conf is, and how to read it where a source needs it."""
    path = rclone_conf_path(environ, home)
    return RcloneConf(where=str(path), sections=lambda: read_sections(path))


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
    if not os.path.lexists(path):
        return {}
    return parse_rclone_conf(read_text(path), where=str(path))
